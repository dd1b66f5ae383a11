import { fromConnectError } from "@decnet/common/rpc/errors";
import type { ApplyFleetResponse } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createScriptedEngine, type ScriptedEngine } from "../support/scripted-engine.ts";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a plan that is not the expected one any more", () => {
  let master: TestMaster;
  let scripted: ScriptedEngine;

  beforeAll(async () => {
    master = await useMaster({
      env: { DECNET_DRIFT_INTERVAL_MS: "600000" },
      openHostEngine: async ({ catalog }) => {
        scripted = createScriptedEngine(catalog, "test");
        return scripted.engine;
      },
    });
    await deploy(master, { a: ["ssh", "redis"], b: ["redis"] });
  });
  afterAll(() => master.dispose());

  const refusal = async (call: Promise<unknown>) => fromConnectError(await call.catch((error: unknown) => error));
  const digestOf = (response: Pick<ApplyFleetResponse, "operation">) => response.operation?.plan?.digest ?? "";

  it("says what moved when the decky was changed meanwhile", async () => {
    const decky = { name: `${master.prefix}-a` };
    const expected = digestOf(await master.mutations.addService({ decky, service: "http", options: { dryRun: true } }));
    await master.mutations.addService({ decky, service: "ftp" });
    const failure = await refusal(master.mutations.addService({ decky, service: "http", options: { expectedPlan: expected } }));
    const actual = digestOf(await master.mutations.addService({ decky, service: "http", options: { dryRun: true } }));
    expect(failure).toMatchObject({ reason: "PLAN_CHANGED", metadata: { expected, actual } });
    expect(failure.metadata["difference"]).toContain("revision 1 is 2 now");
    expect(failure.message).toContain(`+ untouched: ${decky.name}-ftp`);
    expect(failure.message).toMatch(
      new RegExp(`meanwhile: add service ftp of ${decky.name} by admin at \\S+ \\(op-[0-9a-f]+\\)`),
    );
  });

  it("says what moved when a container was stopped meanwhile", async () => {
    const decky = { name: `${master.prefix}-a` };
    const expected = digestOf(await master.mutations.addService({ decky, service: "http", options: { dryRun: true } }));
    scripted.alter(decky.name, "ssh", { status: "exited", pid: 0, exitCode: 137 });
    const failure = await refusal(master.mutations.addService({ decky, service: "http", options: { expectedPlan: expected } }));
    expect(failure.message).toContain(`+ start ${decky.name}-ssh (exited with code 137)`);
  });

  it("says what moved in a fleet", async () => {
    const fleet = { lan: master.lan, deckies: [{ name: `${master.prefix}-a`, services: [{ slug: "ssh" }] }] };
    const expected = digestOf(await master.fleet.applyFleet({ fleet, options: { dryRun: true } }));
    await master.mutations.addService({ decky: { name: `${master.prefix}-b` }, service: "http" });
    const failure = await refusal(master.fleet.applyFleet({ fleet, options: { expectedPlan: expected } }));
    expect(failure.reason).toBe("PLAN_CHANGED");
    expect(failure.metadata["actual"]).toMatch(/^[0-9a-f]{32}$/);
    expect(failure.metadata["difference"]).toContain(`${master.prefix}-b: `);
  });

  it("says what is to be done now when nobody remembers the plan", async () => {
    const decky = { name: `${master.prefix}-b` };
    const expectedPlan = "0".repeat(32);
    const failure = await refusal(master.mutations.addService({ decky, service: "ftp", options: { expectedPlan } }));
    expect(failure.message).toContain(`now: create ${decky.name}-ftp (requested)`);
  });
});
