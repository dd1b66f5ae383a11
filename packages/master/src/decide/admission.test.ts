import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { protocolVersion } from "@decnet/common/protocol-version";
import { AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { expect, it } from "vitest";
import { admit, admitEngine } from "./admission.ts";

const now = new Date("2026-01-01T00:00:00Z");
const own = { catalogueDigest: "a".repeat(64), version: "1.2.3", now };

const facts = (more: MessageInitShape<typeof AgentFactsSchema> = {}) =>
  create(AgentFactsSchema, {
    clock: timestampFromDate(now),
    protocolVersion,
    catalogueDigest: own.catalogueDigest,
    agentVersion: "1.2.2",
    ...more,
  });
const after = (seconds: number) => ({ clock: timestampFromDate(new Date(now.getTime() + seconds * 1_000)) });
const interfaces = (count: number, length: number) => ({
  interfaces: Array.from({ length: count }, () => ({ name: "e".repeat(length) })),
});

it.each<[name: string, given: MessageInitShape<typeof AgentFactsSchema>]>([
  ["all as the master has it", {}],
  ["a clock that is five minutes ahead", after(300)],
  ["a clock that is five minutes behind", after(-300)],
  ["another version of the agent that speaks the same protocol", { agentVersion: "0.1" }],
  ["an engine that does not answer, which only keeps it from joining", { engineProblem: "no engine" }],
  ["as many interfaces as a machine has", interfaces(1_000, 8)],
])("admits %s", (_name, given) => expect(() => admit(facts(given), own)).not.toThrow());

it.each<[name: string, given: MessageInitShape<typeof AgentFactsSchema> | undefined, reason: string, message: string]>([
  ["nothing", undefined, "REQUEST_INVALID", "are needed"],
  ["a clock that shows no time", { clock: { seconds: 10n ** 15n, nanos: 0 } }, "REQUEST_INVALID", "facts.clock"],
  ["too many interfaces", interfaces(1_001, 1), "REQUEST_INVALID", "1000 interfaces"],
  ["too long a message", interfaces(100, 1_000), "REQUEST_INVALID", "65536 bytes"],
  ["another protocol", { protocolVersion: protocolVersion + 1 }, "VERSION_SKEW", "the worker (1.2.2) speaks protocol"],
  [
    "another protocol of an agent without a version",
    { protocolVersion: 99, agentVersion: "" },
    "VERSION_SKEW",
    "unknown version",
  ],
  ["a clock that is ahead", after(301), "CLOCK_SKEW", "301 s ahead"],
  ["a clock that is behind", after(-3_600), "CLOCK_SKEW", "3600 s behind"],
  ["another catalog", { catalogueDigest: "b".repeat(64) }, "CATALOGUE_MISMATCH", "catalog"],
  ["the protocol before the clock", { protocolVersion: 99, ...after(900) }, "VERSION_SKEW", "protocol"],
  ["the clock before the catalog", { catalogueDigest: "b", ...after(900) }, "CLOCK_SKEW", "ahead"],
])("refuses %s", (_name, given, reason, message) => {
  const attempt = () => admit(given === undefined ? undefined : facts(given), own);
  expect(attempt).toThrow(expect.objectContaining({ reason }));
  expect(attempt).toThrow(message);
});

it("does not give the master's whole digest away", () => {
  const expected = "a".repeat(16);
  expect(() => admit(facts({ catalogueDigest: "b" }), own)).toThrow(
    expect.objectContaining({ metadata: { expected, actual: "b" } }),
  );
});

it("only a worker that joins needs an engine", () => {
  expect(() => admitEngine(facts({ engineProblem: "no engine" }))).toThrow(
    expect.objectContaining({ reason: "ENGINE_UNUSABLE" }),
  );
  expect(() => admitEngine(facts())).not.toThrow();
});
