import { UpdateMode } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { type TestCli, useCli } from "./use-cli.ts";
import { deploy, type TestMaster, useMaster } from "./use-master.ts";

export interface Web {
  readonly master: TestMaster;
  readonly cli: TestCli;
  /** The decky that the tests change. */
  readonly name: string;
  /** Brings the fleet back to this one decky with ssh and redis, each with its default settings; does nothing when it is so. */
  reset(): Promise<void>;
  /** Adds a service, for tests of what comes after that. */
  add(service: string): Promise<void>;
  /** The desired revision. */
  revision(): Promise<number>;
  dispose(): Promise<void>;
}

/** A master with one running decky, and the command line. Call `reset` before each test: then none depends on another. */
export async function useWeb(): Promise<Web> {
  const master = await useMaster();
  const name = `${master.prefix}-web`;
  const read = async () => (await master.fleet.getDecky({ decky: { name } })).decky;
  const cli = await useCli(master).catch(async (error: unknown) => {
    await master.dispose();
    throw error;
  });
  return {
    master,
    cli,
    name,
    async reset() {
      await deploy(master, { web: ["ssh", "redis"] });
      // A fleet file keeps the secrets that it does not name.
      for (const { slug, secretsSet } of (await read())?.services ?? [])
        if (secretsSet.length > 0)
          await master.mutations.updateServiceConfig({
            decky: { name },
            service: slug,
            mode: UpdateMode.MERGE,
            clearSecrets: secretsSet,
            apply: true,
          });
    },
    async add(service) {
      await master.mutations.addService({ decky: { name }, service });
    },
    revision: async () => (await read())?.desiredRevision ?? 0,
    async dispose() {
      await cli.dispose();
      await master.dispose();
    },
  };
}

/** Output of `-o jsonl`: every line must be a document. */
export function parseLines(text: string): Record<string, unknown>[] {
  return text.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
}
