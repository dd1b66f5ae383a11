import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OnFailure, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { deployBeside, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("every state has an exit", () => {
  let master: TestMaster;

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DRIFT_INTERVAL_MS: "300" } });
  });
  afterAll(() => master.dispose());

  const seen = async (decky: { name: string }) => (await master.fleet.getDecky({ decky })).decky;
  const isGone = async ({ name }: { name: string }) =>
    (await master.fleet.listDeckies({ filter: `name=${name}` })).deckies.length === 0;
  const isRunning = async (decky: { name: string }) => (await seen(decky))?.state === DeckyState.RUNNING;
  const repairsOf = async ({ name }: { name: string }) =>
    (await master.operations.listOperations({ filter: `decky=${name},kind=repair` })).operations;

  /** A container of somebody else, which is gone at the end of the test, or earlier. */
  const useForeign = async (name: string, args: string[]) => {
    await execa("docker", ["create", "--name", name, ...args, debianBase, "sleep", "600"]);
    const remove = () => execa("docker", ["rm", "-f", name], { reject: false });
    onTestFinished(async () => void (await remove()));
    return { start: () => execa("docker", ["start", name]), remove };
  };

  /** A decky whose volume somebody else holds: its teardown fails. */
  const deployHeld = async (name: string) => {
    const decky = await deployBeside(master, name, { ssh: {} });
    const [volume = ""] = await dockerLines(["volume", "ls", "-q", "--filter", `name=decnet_${decky.name}_`]);
    const holder = await useForeign(`${decky.name}.holder`, ["--volume", `${volume}:/held`]);
    await expect(master.fleet.teardownDecky({ decky })).rejects.toThrow();
    return { decky, holder };
  };

  it("a teardown that failed is done by itself as soon as it can be", async () => {
    const { decky, holder } = await deployHeld("held");
    const { message } = (await seen(decky)) ?? {};
    expect(message).toMatch(/volume.*; its teardown is tried again at .*: decnet decky teardown/s);
    await holder.remove();
    await eventually(() => isGone(decky), 30_000);
    expect((await repairsOf(decky)).map(({ actor, state }) => [actor, state])).toContainEqual([
      "retry",
      OperationState.SUCCEEDED,
    ]);
  });

  it("a teardown that failed may be asked for again, as a part of the fleet's too", async () => {
    const { decky, holder } = await deployHeld("again");
    await expect(master.fleet.teardownFleet({})).rejects.toThrow(/volume/);
    await holder.remove();
    const { operation } = await master.fleet.teardownFleet({});
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(await isGone(decky)).toBe(true);
  });

  it("a decky whose teardown failed may be wanted after all", async () => {
    const { decky, holder } = await deployHeld("after-all");
    const { operation } = await master.fleet.restoreRevision({ decky, revision: 1 });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    await eventually(() => isRunning(decky));
    await holder.remove();
    await master.mutations.addService({ decky, service: "http" });
  });

  it("a name that somebody else has is said, repaired as soon as it is free, and costs no repair before", async () => {
    const decky = await deployBeside(master, "named", { redis: {}, http: {} });
    const container = `${decky.name}-redis`;
    await execa("docker", ["rename", container, `${container}-old`]);
    const foreign = await useForeign(container, []);
    await execa("docker", ["rm", "-f", `${container}-old`]);
    const blocked = await eventually(async () => {
      const found = await seen(decky);
      return found?.state === DeckyState.DEGRADED && found.message.includes("is taken") ? found : undefined;
    });
    expect(blocked.message).toContain(`the container name ${container} is taken by a container that is not ours`);
    // While the test took the name, a drift check may have met each of its steps.
    const before = (await repairsOf(decky)).length;
    // Several drift checks later.
    const from = Date.now();
    await eventually(async () => Date.now() - from > 3_000);
    expect((await repairsOf(decky)).length).toBe(before);
    await foreign.remove();
    await eventually(() => isRunning(decky), 30_000);
  });

  it("what breaks again and again is repaired ever more seldom, and says so", async () => {
    const decky = await deployBeside(master, "breaks", { redis: {} });
    const from = Date.now();
    const said = await eventually(async () => {
      await execa("docker", ["rm", "-f", `${decky.name}-redis`], { reject: false });
      const found = await seen(decky);
      return Date.now() - from > 12_000 && found?.message.includes("lately") ? found : undefined;
    }, 40_000);
    expect(said.message).toMatch(
      /redis(: .*| is gone); was repaired (once|\d+ times) lately, and may be again at .*: decnet decky restore/,
    );
    expect((await repairsOf(decky)).length).toBeLessThan(8);
    // The named command does it now.
    await master.fleet.restoreRevision({ decky, revision: 1 });
    expect(await isRunning(decky)).toBe(true);
  });

  it("a failure that was to be kept is kept, says so, and ends with the command that it names", async () => {
    const decky = await deployBeside(master, "kept", { redis: {} });
    const options = { onFailure: OnFailure.KEEP };
    await expect(master.mutations.addService({ decky, service: "quits", options })).rejects.toThrow();
    const { message = "" } = (await seen(decky)) ?? {};
    expect(message).toContain("a failed change is kept and nothing is repaired");
    const [, back = ""] = /decnet decky restore \S+ r(\d+) takes it back/.exec(message) ?? [];
    await master.fleet.restoreRevision({ decky, revision: Number(back) });
    const after = await seen(decky);
    expect([after?.state, after?.message]).toEqual([DeckyState.RUNNING, ""]);
  });
});
