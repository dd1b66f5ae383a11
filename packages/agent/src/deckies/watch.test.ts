import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import type { RepairReport } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { CheckedDecky } from "@decnet/engine/engine";
import type { Plan, Step } from "@decnet/engine/plan/plan";
import type { DeckySpec, LanSpec } from "@decnet/engine/spec";
import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import { expect, it } from "vitest";
import type { Runner } from "./runner.ts";
import type { AcceptedDecky } from "./spec-store.ts";
import { createWatch } from "./watch.ts";

const step: Step = {
  number: 1,
  verb: "create",
  target: "web-ssh",
  service: "ssh",
  container: "web-ssh",
  cause: "there is no container",
};
const settle: Step = {
  number: 2,
  verb: "settle",
  target: "web-ssh",
  service: "ssh",
  container: "web-ssh",
  cause: "22/tcp must listen",
};
const plan: Plan = { steps: [step, settle], untouched: [], risks: [], digest: "d" };
const judged = { state: "degraded", message: "ssh: there is no container", baseId: "b", services: [] } as const;
const lan: LanSpec = { name: "lan", driver: "bridge", subnet: "10.77.0.0/24", gateway: "10.77.0.1", parent: undefined };
const spec: DeckySpec = {
  ...{ scope: "fleet", name: "web", revision: 1, hostname: "web", baseImage: "base", buildBase: "base", osFamily: "linux" },
  attachments: [{ lan, ip: "10.77.0.2", mac: "02:00:00:00:00:02" }],
  ...{ forwards: false, services: [] },
};

/** What is told of repairs after one drift check that finds ssh missing. */
async function repairsTold(repair: Runner["repair"]): Promise<RepairReport[]> {
  const told: RepairReport[] = [];
  const target: PresentTarget = { kind: "present", id: "d-1", distro: "debian", spec };
  const decky: AcceptedDecky = { target, leaving: false, hold: false, outcome: undefined, begun: undefined };
  const seen: CheckedDecky = { observed: undefined, judged, plan };
  const watch = createWatch({
    engine: { check: async () => ({ deckies: new Map([["fleet/web", seen]]), strays: [] }) },
    specs: { list: () => [decky], get: () => decky },
    runner: { repair, isBusy: () => false, turns: () => 0 },
    reports: { push: async (content) => void (content.case === "repair" && told.push(content.value)) },
    policy: () => "repair",
    log: createLogger("test", "error"),
  });
  await watch.check();
  await watch.idle();
  return told;
}

/** A repair that creates the container and then ends with an error. */
const createdBefore =
  (error: AppError): Runner["repair"] =>
  async (_, { onPlan, onStep }) => {
    onPlan(plan);
    onStep({ kind: "succeeded", step, at: new Date() });
    throw error;
  };

it("a repair that acted is told, with its plan and without a receipt, when its end could not be observed", async () => {
  const [told, ...more] = await repairsTold(createdBefore(new AppError("NOT_OBSERVED", "not observed: EACCES")));
  expect(more).toEqual([]);
  expect(told?.outcome?.receipt).toBeUndefined();
  expect(told?.outcome?.plan?.steps.map(({ verb }) => verb)).toEqual(["create", "settle"]);
  expect(told?.outcome?.failure?.message).toBe("what came of it is not known: not observed: EACCES");
  expect(told?.steps.map(({ verb }) => verb)).toEqual(["create"]);
});

it.each([
  ["the engine went before it did anything", (): Promise<undefined> => Promise.reject(new AppError("ENGINE_UNAVAILABLE", "no"))],
  ["something newer took over", createdBefore(new AppError("REVISION_CONFLICT", "it comes too late"))],
  ["the agent stops", createdBefore(new AppError("SHUTTING_DOWN", "the agent is shutting down"))],
])("nothing is told of a repair when %s", async (_, repair) => expect(await repairsTold(repair)).toEqual([]));
