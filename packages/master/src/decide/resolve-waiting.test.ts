import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import type { Decky } from "../model/decky.ts";
import { makeOperation, type NewOperation, type Operation } from "../model/operation.ts";
import { formatResolution } from "./format-resolution.ts";
import type { Resolution } from "./resolution.ts";
import { refusesToWait, resolveBegin, resolveGiveUp, resolvePostponed, resolveRetry, retryDelayMs } from "./resolve-waiting.ts";
import type { Situation } from "./situation.ts";

const now = new Date("2026-01-01T00:00:00Z");
const context = { catalog: { services: new Map(), digest: "" }, now, makeId: () => "op-new", random: () => 0 };
const away = new AppError("HOST_UNREACHABLE", "host edge-1 is not connected");

/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", scope: "fleet", name: "web", host: "edge-1", lastHost: "edge-1", pendingRemovals: [] },
  ...{ appliedRevision: 1, renderedRevision: 1, leaving: false, repairPaused: false },
  ...{ state: "running", message: "", failures: 0, lastOperation: null, version: 1 },
  ...{ retryAt: null, retryCause: "", observed: { baseId: "b", services: [] }, appliedIdentity: null, aheadRevision: 0 },
};
const web = known as Decky;

/** The services of each revision, from the first on; the last one is desired. */
function situationOf(revisions: readonly string[], open: readonly Operation[], decky: Partial<Decky> = {}): Situation {
  const servicesOf = (text: string) => text.split(" ").map((slug) => ({ slug, config: {} }));
  return {
    decky: { ...web, desiredRevision: revisions.length, ...decky },
    open,
    revisions: new Map(revisions.map((text, index) => [index + 1, servicesOf(text)])),
    attempts: new Map(),
    movePolicy: "remove_first",
  };
}

const op = (number: number, kind: Operation["kind"], revision: number, service = "", more: Partial<NewOperation> = {}) =>
  makeOperation({
    createdAt: new Date(0),
    id: `op-${number}`,
    kind,
    actor: "ann",
    deckyName: "web",
    host: "edge-1",
    revision,
    service,
    ...more,
  });
const running = { state: "running" } as const;
const impatient = { ...running, whenAway: "refuse" } as const;
const error = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: false } as const;

function tell(situation: Situation, resolution: Resolution | undefined): string {
  if (resolution === undefined) return "nothing to store";
  return formatResolution(situation, resolution);
}

describe("an apply begins", () => {
  const add = op(1, "add_service", 2, "redis");
  it.each<[name: string, open: Operation[], decky: Partial<Decky>, text: string]>([
    ["with what was pending", [add], {}, "op-1 running · state changing"],
    [
      "with several waiting changes",
      [op(1, "add_service", 2, "redis"), op(2, "add_service", 2, "http")],
      {},
      "op-1 running · op-2 running · state changing",
    ],
    ["again, after its host was away", [{ ...add, ...running }], { state: "unknown", message: "away" }, "state changing"],
    [
      "with a change that came while another one ran",
      [{ ...add, ...running }, op(2, "repair", 2)],
      {},
      "op-2 running · state changing",
    ],
    ["as it is on record already", [{ ...add, ...running }], { state: "changing", lastOperation: "op-1" }, "nothing to store"],
    ["for another operation than the last one", [{ ...add, ...running }], { state: "changing", lastOperation: "op-0" }, ""],
    ["for nobody", [], {}, "nothing to store"],
  ])("%s", (_name, open, decky, text) => {
    const situation = situationOf(["ssh", "ssh redis"], open, decky);
    expect(tell(situation, resolveBegin(situation, context))).toBe(text);
  });
});

describe("what is wanted and was never seen", () => {
  const wanted = { retryAt: now, retryCause: "no such image" };
  it.each<[name: string, decky: Partial<Decky>, open: Operation[], text: string]>([
    ["is applied by a repair", wanted, [], "opens op-new pending · again"],
    ["at once, when it was never tried", {}, [], "opens op-new pending · again"],
    ["as a teardown that failed", { ...wanted, leaving: true, appliedRevision: 2 }, [], "opens op-new pending · again"],
    ["not before its time", { retryAt: new Date(now.getTime() + 1) }, [], "nothing to store"],
    ["not while a failure is kept", { ...wanted, repairPaused: true }, [], "nothing to store"],
    ["not while somebody changes it", wanted, [op(1, "add_service", 2, "redis")], "nothing to store"],
    ["not when all is there", { ...wanted, appliedRevision: 2 }, [], "nothing to store"],
  ])("%s", (_name, decky, open, text) => {
    const situation = situationOf(["ssh", "ssh redis"], open, decky);
    expect(tell(situation, resolveRetry(situation, context))).toBe(text);
  });

  it("says why it is tried again", () => {
    const reasonOf = (decky: Partial<Decky>) => {
      const resolution = resolveRetry(situationOf(["ssh", "ssh"], [], decky), context);
      return resolution?.opens[0]?.reason;
    };
    expect(reasonOf(wanted)).toBe("revision 2 again: no such image");
    expect(reasonOf({ ...wanted, leaving: true })).toBe("the teardown again: no such image");
    expect(reasonOf({})).toBe("revision 2 again");
  });
});

describe("an apply is postponed", () => {
  it("while its host is away: nothing is known of the decky, and its operations go on", () => {
    const situation = situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis", running)], { failures: 2 });
    expect(tell(situation, resolvePostponed(situation, "away"))).toBe('state unknown, message "away", failures 3');
  });

  it.each([
    [0, 250, 500],
    [3, 2_000, 4_000],
    [30, 15_000, 30_000],
  ])("after %i failures for %i to %i ms", (failures, least, most) => {
    const delay = (random: number) => retryDelayMs({ ...web, failures }, { random: () => random });
    expect([delay(0), delay(1)]).toEqual([least, most]);
  });
});

it.each([
  ["who wants to wait", op(1, "add_service", 2, "redis"), false],
  ["who does not", op(1, "add_service", 2, "redis", impatient), true],
  ["whose change failed already: its undo is waited for", op(1, "add_service", 2, "redis", { ...impatient, error }), false],
])("an operation of somebody %s", (_name, operation, refuses) => expect(refusesToWait(operation)).toBe(refuses));

describe("a change is given up whose host went away in the middle", () => {
  const unknown = 'state unknown, message "host edge-1 is not connected"';
  const failed = "op-1 failed HOST_UNREACHABLE";
  const opens = "opens op-new pending";

  it.each<[name: string, situation: Situation, text: string]>([
    [
      "an added service: what the host has of it is taken back when it is here again",
      situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis", impatient)]),
      `r3: undo of op-1 [ssh] · ${failed} · ${opens} · desired r3, ${unknown}`,
    ],
    [
      "one of several: the other one waits",
      situationOf(
        ["ssh", "ssh redis", "ssh redis http"],
        [op(1, "add_service", 2, "redis", impatient), op(2, "add_service", 3, "http", running)],
      ),
      `r4: undo of op-1 [ssh http] · ${failed} · ${opens} · desired r4, ${unknown}`,
    ],
    [
      "two of two: one undo takes both back",
      situationOf(
        ["ssh", "ssh redis", "ssh redis http"],
        [op(1, "add_service", 2, "redis", impatient), op(2, "add_service", 3, "http", impatient)],
      ),
      `r4: undo of op-1 [ssh] · ${failed} · op-2 failed HOST_UNREACHABLE · ${opens} · desired r4, ${unknown}`,
    ],
    [
      "a teardown: the decky stays",
      situationOf(["ssh", "ssh"], [op(1, "teardown_decky", 2, "", impatient)], { leaving: true }),
      `r3: undo of op-1 [ssh] · ${failed} · ${opens} · desired r3, ${unknown}, leaving false`,
    ],
    [
      "a change below a teardown that waits, which goes on",
      situationOf(["ssh", "ssh redis", "ssh redis"], [op(1, "add_service", 2, "redis", impatient), op(2, "teardown_decky", 3)], {
        leaving: true,
      }),
      `r4: undo of op-1 [ssh] · ${failed} · ${opens} · desired r4, ${unknown}`,
    ],
    [
      "a move: the decky goes back to where it ran",
      situationOf(["ssh", "ssh"], [op(1, "move_decky", 2, "", impatient)], {
        host: "edge-2",
        pendingRemovals: ["edge-1"],
        renderedRevision: 0,
      }),
      `r3: undo of op-1 [ssh] · ${failed} · ${opens} · desired r3, host edge-1, ${unknown}, removals [edge-2]`,
    ],
    [
      "a first deploy: the decky is removed again",
      situationOf(["ssh"], [op(1, "deploy_decky", 1, "", impatient)], { appliedRevision: 0, renderedRevision: 0 }),
      `r2: undo of op-1 [] · ${failed} · ${opens} · desired r2, ${unknown}, leaving true`,
    ],
    [
      "a change of a decky that was never deployed: its deploy is waited for, and nothing is taken back",
      situationOf(["ssh", "ssh redis"], [op(2, "deploy_decky", 1, "", running), op(1, "add_service", 2, "redis", impatient)], {
        appliedRevision: 0,
        renderedRevision: 0,
      }),
      `${failed} · ${unknown}`,
    ],
    [
      "nobody who does not want to wait is left",
      situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis", running)]),
      unknown,
    ],
  ])("%s", (_name, situation, text) => {
    const { decky, open } = situation;
    const services = situation.revisions.get(decky.desiredRevision) ?? [];
    const attempt = { decky, revision: decky.desiredRevision, services, open };
    expect(tell(situation, resolveGiveUp(situation, attempt, away, context))).toBe(text);
  });

  it("its failure says that it is not known how far the host got", () => {
    const situation = situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis", impatient)]);
    const attempt = { decky: situation.decky, revision: 2, services: [], open: situation.open };
    const { operations, opens } = resolveGiveUp(situation, attempt, away, context);
    expect(operations[0]?.patch.error?.message).toContain("what it made of the change is not known");
    expect(opens[0]).toMatchObject({ kind: "repair", actor: "ann", reason: "undo of op-1", host: "edge-1", whenAway: "queue" });
  });
});
