import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { type Client, createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyService } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { testCatalog } from "./catalogs.ts";
import { testProgram } from "./programs.ts";
import type { Place } from "./use-master.ts";

/** One life of a real master in a process of its own. */
export interface Life {
  readonly mutations: Client<typeof MutationService>;
  readonly fleet: Client<typeof FleetService>;
  readonly operations: Client<typeof OperationService>;
  readonly topologies: Client<typeof TopologyService>;
  /** Resolves when the process has ended, whatever ended it. */
  readonly ended: Promise<void>;
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Masters that follow each other over one place: each is loaded while the one before it lives. */
export interface Lives {
  /**
   * Ends the one before. `after`: it is killed after so many steps (0: before the first one), and with `whenEnded` as soon as
   * the end of a change is stored; undefined: never. Resolves to undefined when it ended as it began.
   */
  begin(after?: number, options?: { readonly whenEnded?: boolean }): Promise<Life | undefined>;
  /** Nothing of any life goes on. The database that the last one left behind is ended by one more. */
  dispose(): Promise<void>;
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

export function useLives(place: Place, more: Readonly<Record<string, string>> = {}): Lives {
  const load = (): Child =>
    spawn(process.execPath, testProgram("crashing-master.ts"), {
      env: {
        ...process.env,
        WARM: "1",
        DECNET_DATA_DIR: place.dataDir,
        DECNET_PORT: "0",
        DECNET_DRIFT_INTERVAL_MS: "1000",
        DECNET_CATALOGUE: testCatalog,
        ...more,
      },
      stdio: ["pipe", "pipe", "inherit"],
    });
  let next = load();
  let last: Life | undefined;
  const isOver = (child: Child) => child.exitCode !== null || child.signalCode !== null;

  const begin: Lives["begin"] = async (after, { whenEnded = false } = {}) => {
    await last?.end("SIGKILL");
    const child = next;
    next = load();
    const ended = once(child, "exit").then(() => undefined);
    const told = { ...(after === undefined ? {} : { CRASH_AFTER: String(after) }), ...(whenEnded ? { CRASH_ENDED: "1" } : {}) };
    child.stdin.write(`${JSON.stringify(told)}\n`);
    const said = once(child.stdout, "data").then(([chunk]) => (JSON.parse(String(chunk)) as { port: number }).port);
    const port = await Promise.race([said, ended]);
    if (port === undefined) return undefined;
    const token = (await readFile(`${place.dataDir}/admin.token`, "utf8")).trim();
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
    void ended.then(close);
    last = {
      mutations: createClient(MutationService, transport),
      fleet: createClient(FleetService, transport),
      operations: createClient(OperationService, transport),
      topologies: createClient(TopologyService, transport),
      ended,
      async end(signal) {
        if (!isOver(child)) child.kill(signal);
        await ended;
      },
    };
    return last;
  };

  return {
    begin,
    async dispose() {
      await (await begin())?.end("SIGTERM");
      const left = once(next, "exit");
      next.kill("SIGKILL");
      await left;
    },
  };
}
