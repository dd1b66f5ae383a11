import { create, type DescMessage, fromBinary, type MessageShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { admitForeign } from "@decnet/common/rpc/foreign-message";
import { findViolations } from "@decnet/common/rpc/validate-requests";
import {
  AgentService,
  type DeckyObservation,
  type DeckyOutcome,
  type ReadSpecsResponse,
  ReadSpecsResponseSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import { DeckyRefSchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  EnrollmentService,
  RegistrationService,
  type RepairReport,
  ReportItemSchema,
  type ReportRequest,
  ReportRequestSchema,
} from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { fromLogLine } from "@decnet/engine/wire/logs";
import { fromObservationMessage, fromOutcomeMessage, fromPlanMessage, fromStepMessage } from "@decnet/engine/wire/outcome";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BareWorker, enrolBareWorker, refusalReason } from "../support/bare-worker.ts";
import { chokesOn, randomMessage, seeded } from "../support/fuzz-messages.ts";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";

/** `npm run soak:messages` takes all of them; each run of the tests some, always the same. */
const inputs = Number(process.env["DECNET_FUZZ_INPUTS"] ?? 5_000);
const stored = Math.min(1_000, Math.ceil(inputs / 50));

/** Everything that an agent may send: what it calls, and what it answers. */
const spoken: [name: string, desc: DescMessage, isAnswer: boolean][] = [
  ...[...EnrollmentService.methods, ...RegistrationService.methods].map(
    ({ name, input }) => [name, input, false] as [string, DescMessage, boolean],
  ),
  ...AgentService.methods.map(({ name, output }) => [name, output, true] as [string, DescMessage, boolean]),
];

describe("whatever an agent sends", () => {
  it.each(spoken)("in %s is tame behind the gate", (name, desc, isAnswer) => {
    const random = seeded(name.length * 7_919);
    const count = Math.ceil(inputs / spoken.length);
    const bad: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const wire = onTheWire(desc, randomMessage(desc, random));
      if (wire === undefined) continue;
      admitForeign(desc, wire, { numbers: isAnswer });
      // What is refused is stored nowhere.
      if (!isAnswer && findViolations(desc, wire, false).length > 0) continue;
      const now = Date.now();
      bad.push(...chokesOn(withoutExempt(wire), now), ...converted(wire).flatMap((value) => chokesOn(value, now, "converted")));
      if (bad.length > 0) break;
    }
    expect(bad).toEqual([]);
  });

  describe("and is stored", () => {
    let swarm: MemorySwarm;
    let worker: BareWorker;

    beforeAll(async () => {
      swarm = await useMemorySwarm();
      worker = await enrolBareWorker({ ...swarm, name: "fuzz", catalogueDigest: swarm.catalog.digest });
      const placement = { where: { case: "host", value: "fuzz" } } as const;
      await swarm.master.fleet.applyFleet({
        fleet: { lan: swarm.master.lan, deckies: [{ name: "a", services: [{ slug: "redis" }], placement }] },
        options: { wait: 2 },
      });
    });
    afterAll(async () => {
      worker?.dispose();
      await swarm?.master.dispose();
    });

    it("is read by every page without an error", { timeout: 120_000 }, async () => {
      const { registration } = worker.calls();
      const random = seeded(4_711);
      await registration.register({ facts: worker.facts(), instanceId: "i", reportStream: "s" });
      const reasons = new Map<string, number>();
      let sequence = 0n;
      for (let index = 0; index < stored; index += 1) {
        const request = onTheWire(ReportRequestSchema, randomMessage(ReportRequestSchema, random, "in range"));
        if (request === undefined) continue;
        const items = (request as ReportRequest).items.map((item) => {
          sequence += 1n;
          // Of its own decky, so that it counts.
          if (item.item.value !== undefined && "decky" in item.item.value)
            Reflect.set(item.item.value, "decky", create(DeckyRefSchema, { name: "a" }));
          return create(ReportItemSchema, { ...item, sequence });
        });
        const reason = await refusalReason(
          registration.report({ ...request, reportStream: "s", instanceId: "i", items } as ReportRequest),
        );
        if (reason !== "taken") sequence -= BigInt(items.length);
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
      expect([...reasons.keys()].filter((reason) => reason !== "taken" && reason !== "REQUEST_INVALID")).toEqual([]);
      expect(reasons.get("taken")).toBeGreaterThan(stored / 10);
      const { operations } = await swarm.master.operations.listOperations({ pageSize: 1_000 });
      const whole = await Promise.all(operations.slice(0, 50).map(({ id }) => swarm.master.operations.getOperation({ id })));
      const { deckies } = await swarm.master.fleet.listDeckies({ pageSize: 1_000 });
      const { hosts } = await swarm.master.swarm.listHosts({});
      expect(operations.some(({ actor }) => actor === "drift")).toBe(true);
      for (const { operation } of whole) if (operation !== undefined) toJsonString(OperationSchema, operation);
      expect(chokesOn([operations, whole, deckies, hosts], Date.now())).toEqual([]);
    });
  });
});

/** As it arrives; undefined for what no wire carries. */
function onTheWire(desc: DescMessage, message: MessageShape<DescMessage>): MessageShape<DescMessage> | undefined {
  try {
    return fromBinary(desc, toBinary(desc, message));
  } catch {
    return undefined;
  }
}

/** What the master makes of the parts of a message before it stores them. */
function converted(message: unknown): unknown[] {
  if (typeof message !== "object" || message === null) return [];
  const own = (() => {
    switch (Reflect.get(message, "$typeName")) {
      case "decnet.v1.DeckyOutcome":
        return [fromOutcomeMessage(message as DeckyOutcome)];
      case "decnet.v1.DeckyObservation":
        return [fromObservationMessage(message as DeckyObservation)];
      case "decnet.v1.OperationStep":
        return [fromStepMessage(message as RepairReport["steps"][number])];
      case "decnet.v1.Plan":
        return [fromPlanMessage(message as Parameters<typeof fromPlanMessage>[0])];
      case "decnet.v1.LogLine":
        return [fromLogLine(message as Parameters<typeof fromLogLine>[0])];
      default:
        return [];
    }
  })();
  return [...own, ...Object.values(message).flatMap(converted)];
}

/** The clock of a worker is compared, not stored; settings of a spec pass the catalog before they are. */
function withoutExempt(message: object): object {
  const facts: unknown = Reflect.get(message, "facts");
  if (typeof facts === "object" && facts !== null) Reflect.deleteProperty(facts, "clock");
  if (Reflect.get(message, "$typeName") === ReadSpecsResponseSchema.typeName)
    for (const { services } of (message as ReadSpecsResponse).deckies)
      for (const service of services) Reflect.deleteProperty(service, "config");
  return message;
}
