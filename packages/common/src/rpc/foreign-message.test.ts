import { create } from "@bufbuild/protobuf";
import {
  AgentServiceStreamLogsResponseSchema,
  ApplyDeckiesResponseSchema,
  DeckyObservationSchema,
  DeckyOutcomeSchema,
  ReadSpecsResponseSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import { AgentFactsSchema, ReportRequestSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { expect, it } from "vitest";
import { admitForeign } from "./foreign-message.ts";

const now = new Date("2026-01-01T00:00:00Z");
const seconds = BigInt(now.getTime() / 1_000);

it("cleans every text, also in lists and in the chosen field of a oneof", () => {
  const outcome = create(DeckyOutcomeSchema, {
    decky: { name: "a\u0000" },
    plan: { steps: [{ cause: "\u001b[31m\nb" }], untouched: ["b\u0007"] },
    failure: { message: "one\ntwo", outputTail: ["fine", "\u0000"] },
  });
  const message = create(ApplyDeckiesResponseSchema, { item: { case: "outcome", value: outcome } });
  admitForeign(ApplyDeckiesResponseSchema, message);
  expect(outcome.decky?.name).toBe("a?");
  expect(outcome.plan?.steps[0]?.cause).toBe("?[31m\nb");
  expect(outcome.plan?.untouched).toEqual(["b?"]);
  expect([outcome.failure?.message, outcome.failure?.outputTail]).toEqual(["one two", ["fine", "?"]]);
});

it("bounds texts one by one and together, and lists", () => {
  const steps = Array.from({ length: 5_000 }, (_, number) => ({ number, target: "t".repeat(5_000) }));
  const outcome = create(DeckyOutcomeSchema, { plan: { steps }, failure: { message: "why", outputTail: Array(999).fill("x") } });
  admitForeign(DeckyOutcomeSchema, outcome);
  expect(outcome.plan?.steps).toHaveLength(200);
  expect(JSON.stringify(outcome.plan).length).toBeLessThan(90_000);
  // Whatever came before it: the cause is kept.
  expect([outcome.failure?.message, outcome.failure?.outputTail.length]).toEqual(["why", 200]);
});

it("takes the first items of a report, and lets each be as long as one may be", () => {
  const items = Array.from({ length: 500 }, (_, index) => ({
    sequence: BigInt(index + 1),
    item: { case: "engine", value: { problem: "p".repeat(2_000) } } as const,
  }));
  const report = create(ReportRequestSchema, { items });
  admitForeign(ReportRequestSchema, report);
  expect(report.items).toHaveLength(200);
  expect(report.items.every(({ item }) => item.case === "engine" && item.value.problem.length === 1_000)).toBe(true);
});

it("has only times that have been, and the worker's own clock as it says", () => {
  const observation = create(DeckyObservationSchema, {
    observedAt: { seconds: 253_402_300_000n, nanos: 5 },
    services: [
      "2025-12-31T23:59:59.123456789Z",
      "0001-01-01T00:00:00Z",
      "+275760-09-13T00:00:00.000Z",
      "9999-01-01T00:00:00Z",
      "x",
    ].map((startedAt) => ({ startedAt })),
  });
  admitForeign(DeckyObservationSchema, observation, { now });
  expect(observation.observedAt).toMatchObject({ seconds, nanos: 0 });
  expect(observation.services.map(({ startedAt }) => startedAt)).toEqual([
    "2025-12-31T23:59:59.123456789Z",
    "0001-01-01T00:00:00Z",
    ...["", "", ""],
  ]);
  const facts = create(AgentFactsSchema, { clock: { seconds: 2n ** 62n, nanos: -1 }, machineName: "m".repeat(70_000) });
  admitForeign(AgentFactsSchema, facts, { now });
  expect([facts.clock?.seconds, facts.machineName.length]).toEqual([2n ** 62n, 70_000]);
});

it("has only numbers of the contract when there is nobody to refuse them to", () => {
  const step = { number: 4_294_967_295, state: 77 };
  const message = create(ApplyDeckiesResponseSchema, { item: { case: "step", value: step } });
  admitForeign(ApplyDeckiesResponseSchema, message);
  expect(message.item.value).toMatchObject(step);
  admitForeign(ApplyDeckiesResponseSchema, message, { numbers: true });
  expect(message.item.value).toMatchObject({ number: 2_147_483_647, state: 0 });
});

it("bounds what is told of each decky by itself, when several share a message", () => {
  const long = () => ({
    item: { case: "step" as const, value: { outputTail: Array.from({ length: 60 }, () => "x".repeat(999)) } },
  });
  const message = create(ApplyDeckiesResponseSchema, { ...long(), more: Array.from({ length: 300 }, long) });
  admitForeign(ApplyDeckiesResponseSchema, message, { numbers: true });
  const lengths = [message, ...message.more].map(({ item }) =>
    item.case === "step" ? item.value.outputTail.reduce((sum, line) => sum + line.length, 0) : 0,
  );
  expect([lengths.length, new Set(lengths)]).toEqual([201, new Set([59_940])]);
});

it("keeps what a decoy wrote as evidence, on one line", () => {
  const logs = create(AgentServiceStreamLogsResponseSchema, { lines: [{ service: "s\n\u001b", text: "a\u001b[2J\nb" }] });
  admitForeign(AgentServiceStreamLogsResponseSchema, logs);
  expect(logs.lines[0]).toMatchObject({ service: "s ?", text: "a\\x1b[2J\\x0ab" });
});

it("leaves the settings of specs as they are, and bounds the rest of each spec by itself", () => {
  const config = { body: "<p>\r\né\u0000".repeat(20_000), most: 1e308, fields: { "a\u0007": "b" }, $unknown: "c" };
  const spec = { hostname: "h\n".repeat(2_000), services: [{ slug: "s\u0000", config }] };
  const message = create(ReadSpecsResponseSchema, { deckies: Array.from({ length: 300 }, () => structuredClone(spec)) });
  admitForeign(ReadSpecsResponseSchema, message, { numbers: true });
  expect(message.deckies).toHaveLength(300);
  for (const { hostname, services } of message.deckies) {
    expect([hostname, services[0]?.slug]).toEqual(["h ".repeat(500), "s?"]);
    expect(services[0]?.config).toEqual(config);
  }
});
