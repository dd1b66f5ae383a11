import { startKillableMaster } from "./killable-master.ts";

/** A real master in a process of its own, whose event loop is looked at while it serves. */
export interface HostileTarget {
  /** Sends a call as it is, with a token; the start of the response. What is gzipped already has `encoding`. */
  post(
    method: string,
    body: Uint8Array,
    form?: { readonly codec?: "json" | "proto"; readonly encoding?: "gzip" },
  ): Promise<string>;
  /** The longest that the loop was late while something went on, in milliseconds. */
  delayWhile(act: () => Promise<unknown>): Promise<number>;
  stop(): Promise<void>;
}

const streamMs = 1_500;
/** Between two looks of the loop's own clock: what it measures is at least that. */
const resolutionMs = 10;

export async function startHostileTarget(dataDir: string): Promise<HostileTarget> {
  const master = await startKillableMaster(dataDir, { DECNET_DRIFT_INTERVAL_MS: "600000" });
  const url = `http://127.0.0.1:${master.port}`;
  const longest = async (): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1]) * 1_000 - resolutionMs;
  };
  return {
    async post(method, body, { codec = "json", encoding } = {}) {
      const isStream = /BatchMutate|Subscribe/.test(method);
      const head = Buffer.alloc(5);
      head.writeUInt32BE(body.length, 1);
      const response = await fetch(`${url}/decnet.v1.${method}`, {
        method: "POST",
        headers: {
          "content-type": `application/${isStream ? "connect+" : ""}${codec}`,
          ...(encoding === undefined ? {} : { "content-encoding": encoding }),
          authorization: `Bearer ${master.token}`,
        },
        body: isStream ? Buffer.concat([head, body]) : Buffer.from(body),
        signal: AbortSignal.timeout(isStream ? streamMs : 30_000),
      });
      return (await response.text().catch(() => "")).slice(0, 300);
    },
    async delayWhile(act) {
      await longest();
      await act().catch(() => undefined);
      return longest();
    },
    stop: master.stop,
  };
}
