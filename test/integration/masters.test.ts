import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { KillableMaster } from "../support/killable-master.ts";
import { fleetOn, isConnected, type SeveralMasters, useSeveralMasters } from "../support/several-masters.ts";

describe("two masters on one database", () => {
  let several: SeveralMasters;
  let first: KillableMaster;
  let second: KillableMaster;

  beforeAll(async () => {
    several = await useSeveralMasters(2);
    [first, second] = several.masters as [KillableMaster, KillableMaster];
    await several.join(second, "edge-1");
    await eventually(() => isConnected(first, "edge-1"));
    await second.clients.fleet.applyFleet(fleetOn({ web: "edge-1" }));
  });
  afterAll(() => several?.dispose());

  it("does at the master that has the host what another one was asked for, and returns its end", async () => {
    const since = performance.now();
    const { operation } = await first.clients.mutations.addService({ decky: { name: "web" }, service: "redis" });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, host: "edge-1" });
    expect(operation?.steps.length).toBeGreaterThan(0);
    expect(operation?.receipt?.containers.map(({ name }) => name)).toContain("web-redis");
    // Told by notification, and not found out by looking.
    expect(performance.now() - since).toBeLessThan(900);
  });
});
