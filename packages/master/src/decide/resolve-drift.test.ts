import type { CheckedDecky } from "@decnet/engine/engine";
import type { Step } from "@decnet/engine/plan/plan";
import { expect, it } from "vitest";
import type { Decky } from "../model/decky.ts";
import { formatResolution } from "./format-resolution.ts";
import { type Checked, isQuiet, resolveDrift } from "./resolve-drift.ts";

const checkedAt = new Date("2026-01-01T12:00:00Z");
const makeId = () => "op-new";
/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", scope: "fleet", name: "web", host: "local", desiredRevision: 3, appliedRevision: 3, renderedRevision: 3 },
  ...{
    leaving: false,
    repairPaused: false,
    state: "running",
    message: "",
    pendingRemovals: [],
    failures: 0,
    retryAt: null,
    retryCause: "",
  },
};
const web = known as Decky;

const settle: Step = { number: 1, verb: "settle", container: "web-ssh", target: "web-ssh", service: "ssh", cause: "must listen" };
const create: Step = { number: 1, verb: "create", container: "web-ssh", target: "web-ssh", service: "ssh", cause: "missing" };

function seen(steps: readonly Step[], state: CheckedDecky["judged"]["state"] = "running", message = ""): Checked["seen"] {
  const judged: CheckedDecky["judged"] = { state, message, baseId: "b", services: [] };
  return { judged, plan: { steps, untouched: [], risks: [], digest: "" } };
}

const drifted = seen([create], "degraded", "ssh: there is no container");
const later = new Date(checkedAt.getTime() + 1);

it.each<[name: string, decky: Partial<Decky>, seen: Checked["seen"], policy: Checked["policy"], why: string, text: string]>([
  ["all is as it was", {}, seen([]), "repair", "seen", ""],
  ["it recovered by itself", { state: "degraded", message: "x" }, seen([]), "repair", "seen", 'state running, message ""'],
  [
    "a port does not listen yet: that is waited for",
    {},
    seen([settle], "degraded", "ssh: does not listen"),
    "repair",
    "seen",
    'state degraded, message "ssh: does not listen"',
  ],
  [
    "a container is gone",
    {},
    drifted,
    "repair",
    "drift is repaired",
    'opens op-new pending · state degraded, message "ssh: there is no container" · again',
  ],
  [
    "it could not be observed: nothing is done on that",
    {},
    seen([], "unknown", "not observed: EMFILE"),
    "repair",
    "seen",
    'state unknown, message "not observed: EMFILE"',
  ],
  ["drift is only reported", {}, drifted, "report", "drifted", 'state degraded, message "ssh: there is no container"'],
  [
    "a kept failure is left alone",
    { repairPaused: true },
    drifted,
    "repair",
    "drifted",
    'state degraded, message "ssh: there is no container"',
  ],
  [
    "the last repair failed a moment ago",
    { retryAt: later },
    drifted,
    "repair",
    "drifted",
    'state degraded, message "ssh: there is no container"',
  ],
  [
    "the last repair failed long enough ago",
    { retryAt: checkedAt },
    drifted,
    "repair",
    "drift is repaired",
    'opens op-new pending · state degraded, message "ssh: there is no container" · again',
  ],
  [
    "what drifted is no container: the plan is the message",
    {},
    seen([create]),
    "report",
    "drifted",
    'message "1 create web-ssh (missing)"',
  ],
])("%s", (_name, more, what, policy, why, text) => {
  const decky = { ...web, ...more };
  const resolution = resolveDrift({ decky, seen: what, policy, checkedAt, makeId });
  if (resolution === undefined) throw new Error("nothing was decided");
  expect(formatResolution({ decky }, resolution)).toBe(text);
  expect(resolution.why).toBe(why);
});

it("a repair has its plan on record, and one that fails keeps nothing from being repaired", () => {
  const repair = resolveDrift({ decky: web, seen: drifted, policy: "repair", checkedAt, makeId })?.opens[0];
  expect(repair).toMatchObject({ kind: "repair", actor: "drift", onFailure: "undo", revision: 3 });
  expect(repair?.plan?.text).toBe("1 create web-ssh (missing)");
});

it("what is stored already is not stored again", () => {
  const { state, message, baseId, services } = drifted.judged;
  const decky: Decky = { ...web, repairPaused: true, state, message, observed: { baseId, services } };
  expect(resolveDrift({ decky, seen: drifted, policy: "repair", checkedAt, makeId })).toBeUndefined();
});

it.each<[string, Partial<Decky>]>([
  ["is being repaired too often", { retryAt: new Date(checkedAt.getTime() + 1) }],
  ["is wanted otherwise and was never seen so: that is tried again, not repaired", { appliedRevision: 2 }],
])("a decky that %s is only looked at", (_, more) => {
  const decky = { ...web, ...more };
  expect(resolveDrift({ decky, seen: drifted, policy: "repair", checkedAt, makeId })?.opens).toEqual([]);
});

it("what stands in the way of a repair is said, and no repair is begun", () => {
  const blocked: Step = { number: 1, verb: "blocked", target: "web-ssh", service: "ssh", cause: "the name is taken" };
  const resolution = resolveDrift({
    decky: web,
    seen: seen([blocked, create], "degraded", "ssh: there is no container"),
    policy: "repair",
    checkedAt,
    makeId,
  });
  expect(resolution?.opens).toEqual([]);
  expect(resolution?.decky).toMatchObject({
    patch: { state: "degraded", message: "ssh: there is no container; the name is taken" },
  });
});

it("a decky that was well for a minute begins with short pauses again", () => {
  const decky: Decky = { ...web, failures: 7, retryAt: new Date(checkedAt.getTime() - 60_000), retryCause: "no" };
  const rested = resolveDrift({ decky, seen: seen([]), policy: "repair", checkedAt, makeId });
  expect(rested?.decky).toMatchObject({ patch: { failures: 0, retryAt: null, retryCause: "" } });
});

it.each([
  ["no step", [], true],
  ["waiting for a port", [settle], true],
  ["a container to create", [create, settle], false],
])("%s", (_name, steps, quiet) => expect(isQuiet({ steps })).toBe(quiet));

it("what could not be observed stays as it was last seen, at the time when it was", () => {
  const unseen = seen([], "unknown", "not observed: EMFILE");
  const resolved = resolveDrift({ decky: web, seen: unseen, policy: "repair", checkedAt, makeId });
  expect(resolved?.decky).toEqual({ kind: "patch", patch: { state: "unknown", message: "not observed: EMFILE" } });
});

it("a pause between repairs does not count when the engine was away: what went went with it", () => {
  const decky: Decky = { ...web, failures: 7, retryAt: later };
  const found = { decky, seen: drifted, policy: "repair", checkedAt, makeId } as const;
  expect(resolveDrift(found)?.why).toBe("drifted");
  expect(resolveDrift({ ...found, isEarly: true })?.why).toBe("drift is repaired");
});
