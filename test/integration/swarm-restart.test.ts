import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyFleet, everywhere } from "../support/swarm-changes.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

const patienceMs = 60_000;

describe("a master that is restarted under ten agents", () => {
  let swarm: Swarm;
  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 10, slugs: ["redis"] });
  }, 300_000);
  afterAll(() => swarm?.dispose());

  it("loses no change that was under way, does nothing twice and touches nothing else (W-54)", async () => {
    const { master, workers } = swarm;
    const names = workers.map((_, index) => `d${index}`);
    await applyFleet(swarm, Object.fromEntries(names.map((name, index) => [name, `edge-${index + 1}`])));
    const ref = (name: string) => ({ name: `${master.prefix}-${name}` });
    const containers = async () => {
      const found = await Promise.all(workers.map((worker) => worker.containers()));
      return new Map(found.flatMap((each) => [...each]));
    };
    const before = await containers();
    expect(before.size).toBe(2 * names.length);

    const begun = await Promise.all(
      names.map((name) => master.mutations.addService({ decky: ref(name), service: "slow", options: { wait: Wait.ACCEPTED } })),
    );
    // The first of them are in the middle, whatever the others are at.
    await eventually(async () => (await everywhere(swarm)).some((each) => each.endsWith("-slow")), patienceMs);
    await master.restart();
    const ended = await Promise.all(
      begun.map(({ operation }) =>
        eventually(async () => {
          const found = (await master.operations.getOperation({ id: operation?.id ?? "" })).operation;
          return found !== undefined && found.state >= OperationState.SUCCEEDED && found;
        }, patienceMs),
      ),
    );
    expect(ended.map(({ state }) => state)).toEqual(names.map(() => OperationState.SUCCEEDED));

    const after = await containers();
    expect([...after.keys()].sort()).toEqual([...before.keys(), ...names.map((name) => `${ref(name).name}-slow`)].sort());
    for (const [name, facts] of before) expect(after.get(name), name).toBe(facts);
    for (const [index, { receipt }] of ended.entries()) {
      const made = receipt?.containers.find((each) => each.service === "slow");
      expect(after.get(`${ref(names[index] ?? "").name}-slow`)).toContain(made?.after?.id);
    }
    await eventually(async () => {
      const { deckies } = await master.fleet.listDeckies({});
      return deckies.every((decky) => decky.state === DeckyState.RUNNING && decky.appliedRevision === decky.desiredRevision);
    }, patienceMs);
    const repairs = await master.operations.listOperations({ filter: "kind=repair" });
    expect(repairs.operations).toEqual([]);
  });
});
