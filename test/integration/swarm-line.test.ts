import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

describe("a decky on a worker", () => {
  let swarm: Swarm;
  let decky: { name: string };

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1 });
    decky = { name: `${swarm.master.prefix}-a` };
  });
  afterAll(() => swarm?.dispose());

  it("is deployed, changed and torn down through the same calls as one on the master's own host (W-05)", async () => {
    const { master, workers } = swarm;
    const [worker] = workers;
    const { operation } = await master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: [{ name: decky.name, services: [{ slug: "redis" }], placement: { where: { case: "host", value: "edge-1" } } }],
      },
    });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect([...((await worker?.containers()) ?? new Map()).keys()].sort()).toEqual([decky.name, `${decky.name}-redis`]);
    const before = await worker?.containers();
    const added = await master.mutations.addService({ decky, service: "http" });
    expect(added.operation?.state).toBe(OperationState.SUCCEEDED);
    expect(added.operation?.receipt?.othersUnchanged).toBe(true);
    const after = await worker?.containers();
    for (const [name, facts] of before ?? []) expect(after?.get(name)).toBe(facts);
    const { decky: seen } = await master.fleet.getDecky({ decky });
    expect([seen?.host, seen?.state]).toEqual(["edge-1", DeckyState.RUNNING]);
    await master.fleet.teardownDecky({ decky });
    expect((await worker?.containers())?.size).toBe(0);
  });
});
