import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import type { InspectCache } from "./inspect-cache.ts";

/**
 * The engine's own word that a running container was given other limits or another restart policy: nothing that is listed shows
 * it. While nobody listens, nothing that was inspected before counts.
 */
export interface UpdateWatch {
  /** Listens, unless it does already. Never throws: who cannot listen inspects again. */
  ensure(): Promise<void>;
}

/**
 * `patient` has no timeout: there may be nothing to hear for days. An engine that ends the stream was stopped, mostly: it is
 * asked until it is there again, and that is told.
 */
export function createUpdateWatch(
  patient: Pick<Docker, "getEvents">,
  cache: Pick<InspectCache, "forget">,
  onReturn: () => void = () => undefined,
): UpdateWatch {
  let state: "deaf" | "asking" | "listening" = "deaf";
  let asked: Promise<void> = Promise.resolve();
  const enter = (next: typeof state) => {
    state = next;
    cache.forget();
  };
  const listen = async () => {
    const filters = JSON.stringify({ type: ["container"], event: ["update"] });
    const stream = await patient.getEvents({ filters });
    // A process may end while it listens.
    if ("socket" in stream && stream.socket instanceof Socket) stream.socket.unref();
    let rest = "";
    stream.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = (lines.pop() ?? "").slice(-maxLine);
      for (const line of lines) cache.forget(idIn(line));
    });
    stream
      .once("error", () => enter("deaf"))
      .once("close", () => {
        enter("deaf");
        void awaitReturn();
      });
    enter("listening");
  };
  const ensure = async () => {
    if (state === "deaf") {
      enter("asking");
      asked = listen().catch(() => enter("deaf"));
    }
    if (state === "asking") await Promise.race([asked, delay(promptMs, undefined, { ref: false })]);
    if (state !== "listening") cache.forget();
  };
  /** One that stays away for long is found again by whoever asks it something. */
  const awaitReturn = async () => {
    for (let tries = 0; tries < mostTries && state !== "listening"; tries += 1) {
      await delay(returnMs, undefined, { ref: false });
      await ensure();
    }
    if (state === "listening") onReturn();
  };
  return { ensure };
}

const returnMs = 250;
const mostTries = 2_400;

/** An engine that is slow to answer holds up no list call. */
const promptMs = 2_000;
const maxLine = 100_000;

/** Undefined for a line that is none: then everything is forgotten. */
function idIn(line: string): string | undefined {
  return /"id":"([0-9a-f]{64})"/.exec(line)?.[1];
}
