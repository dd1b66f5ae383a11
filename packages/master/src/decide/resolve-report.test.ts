import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { DeckyObservationSchema } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { RepairReportSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { StepState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { JudgedService } from "@decnet/engine/diagnose/judge";
import { describe, expect, it } from "vitest";
import type { Decky } from "../model/decky.ts";
import { formatResolution } from "./format-resolution.ts";
import { reportedDecky, resolveRepairReport, resolveReport } from "./resolve-report.ts";

const now = new Date("2026-01-01T12:00:00Z");
const makeId = () => "op-new";
const service: JudgedService = {
  ...{ slug: "ssh", message: "", containerName: "web-ssh", containerId: "c", startedAt: "t" },
  ...{ state: "running", restartCount: 0, listening: ["22/tcp"], openSessions: 0 },
};
/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", scope: "fleet", name: "web", host: "edge-1", desiredRevision: 3, appliedRevision: 3, renderedRevision: 3 },
  ...{ leaving: false, state: "running", message: "", pendingRemovals: ["edge-2"], failures: 0 },
  observed: { baseId: "b", services: [service] },
};
const web = known as Decky;

describe("whose decky it is that a host reports about", () => {
  it("its own", () => expect(reportedDecky(web, "edge-1")).toBe(web));
  it("one that it still has to remove: nothing of it counts", () => expect(reportedDecky(web, "edge-2")).toBeUndefined());
  it("one that is gone", () => expect(reportedDecky(undefined, "edge-1")).toBeUndefined());
  it("another host's: refused", () => {
    expect(() => reportedDecky(web, "edge-3")).toThrow(expect.objectContaining({ reason: "DECKY_NOT_ON_HOST" }));
  });
});

describe("what an agent saw", () => {
  const observation = (more: MessageInitShape<typeof DeckyObservationSchema> = {}) =>
    create(DeckyObservationSchema, {
      revision: 3,
      state: DeckyState.RUNNING,
      baseContainerId: "b",
      services: [{ ...service, state: ServiceState.RUNNING, listening: ["22/tcp"] }],
      ...more,
    });

  it.each<[name: string, more: MessageInitShape<typeof DeckyObservationSchema>, isOpen: boolean, text: string]>([
    ["all as it is stored", {}, false, "nothing new"],
    ["another state", { state: DeckyState.DEGRADED, message: "ssh: x" }, false, 'state degraded, message "ssh: x"'],
    ["other containers in the same state: stored, and not worth a word", { baseContainerId: "b2" }, false, ""],
    ["an older revision", { revision: 2, state: DeckyState.DEGRADED }, false, "nothing new"],
    [
      "a newer revision than is known: the database is older than it",
      { revision: 4, state: DeckyState.RUNNING },
      false,
      'state unknown, message "edge-1 runs r4 of it, and the newest revision known here is r3"',
    ],
    ["a decky that is being changed", { state: DeckyState.DEGRADED }, true, "nothing new"],
  ])("%s", (_name, more, isOpen, text) => {
    const resolution = resolveReport(web, isOpen, observation(more), now);
    const told = resolution === undefined ? "nothing new" : formatResolution({ decky: web }, resolution);
    expect(told).toBe(text);
  });

  it("is stored with the time at which it came", () => {
    const resolution = resolveReport(web, false, observation({ baseContainerId: "b2" }), now);
    expect(resolution?.decky).toMatchObject({ patch: { observed: { baseId: "b2" }, observedAt: now } });
    expect(resolution?.events).toEqual([]);
  });

  it("stays as it was when its host could not observe it", () => {
    const unseen = observation({ state: DeckyState.UNKNOWN, message: "not observed: EMFILE", baseContainerId: "", services: [] });
    const resolution = resolveReport(web, false, unseen, now);
    const patch = { state: "unknown", message: "not observed: EMFILE", observed: web.observed };
    expect(resolution?.decky).toEqual({ kind: "patch", patch });
  });
});

describe("a repair that an agent made", () => {
  const step = { number: 1, verb: "create", target: "web-ssh", cause: "missing", service: "ssh" };
  const at = (second: number) => timestampFromDate(new Date(now.getTime() + second * 1_000));
  const report = (failure?: string) =>
    create(RepairReportSchema, {
      cause: "ssh: there is no container",
      startedAt: at(0),
      finishedAt: at(3),
      steps: [
        { ...step, state: StepState.RUNNING, startedAt: at(1) },
        failure === undefined
          ? { ...step, state: StepState.SUCCEEDED, finishedAt: at(2) }
          : { ...step, state: StepState.FAILED, finishedAt: at(2), outputTail: [failure, "a line"] },
      ],
      outcome: {
        plan: { steps: [step], digest: "d" },
        ...(failure === undefined ? {} : { failure: { step, message: failure, outputTail: ["a line"] } }),
      },
    });
  const told = (failure?: string) => {
    const taken = resolveRepairReport(web, report(failure), { makeId, now });
    return taken === undefined ? "nothing" : formatResolution({ decky: web }, taken.resolution);
  };

  it("is an operation that has ended", () => {
    expect(told()).toBe("opens op-new succeeded");
    expect(told("no such image")).toBe("opens op-new failed APPLY_FAILED");
  });

  it("failed when the decky is not well after it", () => {
    const observation = { state: DeckyState.DEGRADED, message: "ssh: exited with code 1" };
    const taken = resolveRepairReport(web, create(RepairReportSchema, { outcome: { observation } }), { makeId, now });
    expect(taken?.resolution.opens[0]).toMatchObject({
      state: "failed",
      error: { message: "the repair did not help: ssh: exited with code 1" },
    });
  });

  it("is dated as the agent says", () => {
    const later = new Date(now.getTime() + 60_000);
    const [operation] = resolveRepairReport(web, report(), { makeId, now: later })?.resolution.opens ?? [];
    expect(operation).toMatchObject({
      ...{ kind: "repair", actor: "drift", host: "edge-1", reason: "ssh: there is no container" },
      ...{ startedAt: now, finishedAt: new Date(now.getTime() + 3_000) },
      plan: { text: "1 create web-ssh (missing)", digest: "d" },
    });
  });

  it("is never ahead of the operations that others asked for", () => {
    const future = create(RepairReportSchema, { startedAt: at(900), finishedAt: at(999_999_999), outcome: {} });
    const [operation] = resolveRepairReport(web, future, { makeId, now })?.resolution.opens ?? [];
    expect(operation).toMatchObject({ createdAt: now, startedAt: now, finishedAt: now });
  });

  it("keeps each step in its newest state, and what a failed one said", () => {
    const taken = resolveRepairReport(web, report("no such image"), { makeId, now });
    expect(taken?.steps).toMatchObject([{ number: 1, state: "failed", outputTail: ["no such image", "a line"] }]);
  });

  it("has each step once, also when its agent tells of one twice", () => {
    const twice = create(RepairReportSchema, {
      outcome: {},
      steps: [1, 1, 2].map((number, index) => ({ number, verb: `v${index}`, state: StepState.SUCCEEDED })),
    });
    expect(resolveRepairReport(web, twice, { makeId, now })?.steps.map(({ number, verb }) => [number, verb])).toEqual([
      [1, "v1"],
      [2, "v2"],
    ]);
  });

  it("has a bounded cause, whatever the agent sends", () => {
    const long = create(RepairReportSchema, { cause: "x".repeat(5_000), outcome: {} });
    expect(resolveRepairReport(web, long, { makeId, now })?.resolution.opens[0]?.reason.length).toBe(4_000);
  });

  it("is nothing without an outcome", () => {
    expect(resolveRepairReport(web, create(RepairReportSchema, {}), { makeId, now })).toBeUndefined();
  });
});
