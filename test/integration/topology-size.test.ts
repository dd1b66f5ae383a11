import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemoryEngine, type MemoryEngine } from "../support/memory-engine.ts";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { type TestMaster, useMaster } from "../support/use-master.ts";

describe("a change of one decky", () => {
  let master: TestMaster;
  let counts: MemoryEngine["counts"];

  beforeAll(async () => {
    master = await useMaster({
      env: { DECNET_DRIFT_INTERVAL_MS: "600000" },
      openHostEngine: async ({ catalog, instance }) => {
        const engine = createMemoryEngine({ catalog, instance });
        counts = engine.counts;
        return engine;
      },
    });
  });
  afterAll(() => master?.dispose());

  /** What its host is asked to do about an added service, in a topology of so many deckies. */
  const costIn = async (deckies: number) => {
    const name = `${master.prefix}-${deckies}`;
    const settings = { seed: 7, lans: 2, deckies, subnetBase: "10.0.0.0/8", services: ["redis"] };
    const { topology } = await master.topologies.generateTopology({ name, settings });
    await master.topologies.deployTopology({ topology: name });
    const before = { ...counts };
    const decky = { topologyId: topology?.id ?? "", name: "decky-002" };
    const { operation } = await master.mutations.addService({ decky, service: "http" });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    return { plans: counts.plans - before.plans, applies: counts.applies - before.applies };
  };

  it("asks its host for one apply of one decky, however many there are beside it (W-52)", async () => {
    const alone = await costIn(2);
    expect(alone.applies).toBe(1);
    expect(await costIn(200)).toEqual(alone);
  });
});

describe("a topology of 200 LANs and 2,000 deckies", () => {
  let master: TestMaster;
  let cli: TestCli;
  const topology = () => `${master.prefix}-large`;
  /** Processor time of master and caller, in seconds: other tests run beside this one, and make every clock run fast. */
  const costOf = async <T>(work: () => Promise<T>): Promise<{ result: T; seconds: number }> => {
    const before = process.cpuUsage();
    const result = await work();
    const { user, system } = process.cpuUsage(before);
    return { result, seconds: (user + system) / 1e6 };
  };
  /** The real command, and the processor time that it took itself. */
  const print = async (...args: string[]) => {
    const timed = ["-c", `TIMEFORMAT='took %U %S'; time "$0" "$@"`, cli.program, ...args];
    const { stdout, stderr } = await execa("bash", timed, { env: cli.env, extendEnv: false, timeout: 60_000 });
    const [, user = "", system = ""] = /took ([\d.]+) ([\d.]+)/.exec(stderr) ?? expect.fail(stderr);
    return { stdout, seconds: Number(user) + Number(system) };
  };

  beforeAll(async () => {
    master = await useMaster({
      env: { DECNET_DRIFT_INTERVAL_MS: "600000" },
      openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
    });
    cli = await useCli(master);
  });
  afterAll(async () => {
    await cli?.dispose();
    await master?.dispose();
  });

  it("is drawn", async () => {
    const settings = { seed: 7, lans: 200, deckies: 2_000, subnetBase: "10.0.0.0/8" };
    const { topology: made, operation } = await master.topologies.generateTopology({ name: topology(), settings });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect([made?.lans.length, made?.deckies.length]).toEqual([200, 2_000]);
  });

  it("is validated in less than a second", async () => {
    const { result, seconds } = await costOf(() => master.topologies.validateTopology({ topology: topology() }));
    expect(result).toMatchObject({ valid: true, issues: [] });
    expect(seconds).toBeLessThan(1);
  });

  it("has its plan printed in less than five", async () => {
    const { result, seconds } = await costOf(() => print("topology", "plan", topology(), "-v"));
    expect(result.stdout).toContain("decky-2000");
    expect(seconds + result.seconds).toBeLessThan(5);
  });
});
