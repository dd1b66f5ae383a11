import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { OnFailure, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import type { useOwnEngine } from "./own-engine.ts";
import type { TestMaster } from "./use-master.ts";

/** What operators do to deckies and what happens to them, as tables: tests draw from them by chance. */

export interface AccidentWorld {
  readonly master: TestMaster;
  readonly engine: Awaited<ReturnType<typeof useOwnEngine>>;
  /** In [0, 1), the same each time. */
  readonly random: () => number;
}

/** Does something to the decky of this name; returns when it is done. */
type Act = (world: AccidentWorld, decky: string) => Promise<void>;

export type Acts = Readonly<Record<string, Act>>;

const service = "redis";

const pick = <T>(random: () => number, from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

/** Whatever docker says: the container may be gone by an earlier accident. */
const docker = ({ engine }: AccidentWorld, ...args: string[]) => engine.docker(args).catch(() => ({ stdout: "" }));

const containerOf =
  (suffix: string, ...args: string[]): Act =>
  async (world, decky) =>
    void (await docker(world, ...args, `${decky}${suffix}`));

/** A container of somebody else under a name of ours. */
const takeName =
  (suffix: string): Act =>
  async (world, decky) => {
    await docker(world, "rm", "-f", `${decky}${suffix}`);
    await docker(world, "create", "--name", `${decky}${suffix}`, "--label", "foreign=1", debianBase, "sleep", "600");
  };

const inProject =
  (act: (file: string) => Promise<void>): Act =>
  async ({ master }, decky) =>
    act(join(master.config.dataDir, "deckies", decky, "compose.yaml")).catch(() => undefined);

/** What happens on the host, behind the master's back. */
export const accidents: Acts = {
  "the service is stopped": containerOf(`-${service}`, "stop", "-t", "0"),
  "the service is killed": containerOf(`-${service}`, "kill"),
  "the service is paused": containerOf(`-${service}`, "pause"),
  "the service is removed": containerOf(`-${service}`, "rm", "-f"),
  "the service is renamed": (world, decky) => containerOf("", "rename", `${decky}-${service}`)(world, `${decky}-renamed`),
  "the base is killed": containerOf("", "kill"),
  "the base is restarted": containerOf("", "restart", "-t", "0"),
  "the base is removed": containerOf("", "rm", "-f"),
  "the base is renamed": (world, decky) => containerOf("", "rename", decky)(world, `${decky}-renamed`),
  "the base is disconnected": (world, decky) =>
    containerOf("", "network", "disconnect", "-f", world.master.lan.name)(world, decky),
  "the base has another address": async (world, decky) => {
    const { name, subnet } = world.master.lan;
    await docker(world, "network", "disconnect", "-f", name, decky);
    await docker(world, "network", "connect", "--ip", subnet.replace(/\d+\/\d+$/, "200"), name, decky);
  },
  "the network is removed": async (world) => {
    const { name } = world.master.lan;
    const { stdout } = await docker(world, "ps", "-aq", "--filter", `network=${name}`);
    for (const id of stdout.split("\n").filter((line) => line !== "")) await docker(world, "stop", "-t", "0", id);
    await docker(world, "network", "rm", name);
  },
  "stopped things are pruned": async (world, decky) => {
    await docker(world, "stop", "-t", "0", `${decky}-${service}`);
    await docker(world, "system", "prune", "-f", "--volumes");
  },
  "the name of the service is taken": takeName(`-${service}`),
  "the name of the base is taken": takeName(""),
  "a volume is held": async (world, decky) => {
    const { stdout } = await docker(world, "volume", "ls", "-q", "--filter", `name=decnet_${decky}_`);
    const [volume = ""] = stdout.split("\n");
    if (volume === "") return;
    const mount = ["--volume", `${volume}:/held`, "--label", "foreign=1"];
    await docker(world, "create", ...mount, debianBase, "sleep", "600");
  },
  "the engine is away": async ({ engine }) => {
    await engine.stop("SIGKILL");
    await engine.start();
  },
  "the project is edited": inProject(async (file) =>
    writeFile(file, (await readFile(file, "utf8")).replaceAll(service, "other")),
  ),
  "the project is removed": inProject((file) => rm(file, { force: true })),
};

/** What the observation of a host does not tell apart from what is wanted: drawn by `npm run soak`, and by name. */
export const unseenAccidents: ReadonlySet<string> = new Set([
  "the service is renamed",
  "the base is renamed",
  "the base is disconnected",
  "the base has another address",
  "the network is removed",
]);

/** What operators ask for. A refusal has a reason; a defect is a failure of the test. */
export const acts: Acts = {
  "http is added": ask(({ mutations }, decky) => mutations.addService({ decky, service: "http" })),
  "http is removed": ask(({ mutations }, decky) => mutations.removeService({ decky, service: "http" })),
  "what quits is added": ask(({ mutations }, decky) => mutations.addService({ decky, service: "quits" })),
  "what quits is added and kept": ask(({ mutations }, decky) =>
    mutations.addService({ decky, service: "quits", options: { onFailure: OnFailure.KEEP } }),
  ),
  "revision 1 is restored": ask(({ fleet }, decky) => fleet.restoreRevision({ decky, revision: 1 })),
  "it is torn down": ask(({ fleet }, decky) => fleet.teardownDecky({ decky })),
  "a change is cancelled": ask(async ({ mutations, operations }, decky) => {
    const { operation } = await mutations.addService({ decky, service: "http", options: { wait: Wait.ACCEPTED } });
    await operations.cancelOperation({ id: operation?.id ?? "" });
  }),
};

type Call = (master: TestMaster, decky: { name: string }) => Promise<unknown>;

function ask(call: Call): Act {
  return async ({ master }, name) => {
    try {
      await call(master, { name });
    } catch (error) {
      const { reason, message } = fromConnectError(error);
      if (reason === "INTERNAL" || reason === undefined) throw new Error(`a defect: ${message}`, { cause: error });
    }
  };
}

/** So many things, drawn by chance. */
export function drawActs({ random }: AccidentWorld, names: readonly string[], deckies: readonly string[], count: number) {
  return Array.from({ length: count }, () => ({ act: pick(random, names), decky: pick(random, deckies) }));
}

/** Whatever is somebody else's is gone, and the engine is there: nothing stands in anybody's way any more. */
export async function clearTheWay({ engine }: AccidentWorld): Promise<void> {
  const { stdout } = await engine.docker(["ps", "-aq", "--filter", "label=foreign=1"]);
  const ids = stdout.split("\n").filter((line) => line !== "");
  if (ids.length > 0) await engine.docker(["rm", "-f", ...ids]);
}

/** The command that a decky's message names, done by the call behind it. Undefined when it names none. */
export function namedCommand(message: string): ((master: TestMaster) => Promise<unknown>) | undefined {
  const [, verb, name = "", revision] = /decnet decky (restore|teardown) (\S+?)(?: r(\d+))?(?=[\s,;:]|$)/.exec(message) ?? [];
  if (verb === "teardown") return ({ fleet }) => fleet.teardownDecky({ decky: { name } });
  if (verb === "restore") return ({ fleet }) => fleet.restoreRevision({ decky: { name }, revision: Number(revision) });
  return undefined;
}
