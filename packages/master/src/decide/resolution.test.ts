import { expect, it } from "vitest";
import type { Decky } from "../model/decky.ts";
import { makeOperation } from "../model/operation.ts";
import { formatResolution } from "./format-resolution.ts";
import { applyResolution, mergeResolutions, resolution, situationAfter } from "./resolution.ts";
import { desiredServices, goodServices, type Situation, servicesAt } from "./situation.ts";

/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", name: "web", host: "local", desiredRevision: 2, appliedRevision: 1, renderedRevision: 1 },
  ...{ state: "running", message: "", pendingRemovals: [], leaving: false, failures: 0, version: 7 },
};
const web = known as Decky;
const ssh = [{ slug: "ssh", config: {} }];
const both = [...ssh, { slug: "redis", config: {} }];
const add = makeOperation({ createdAt: new Date(0), id: "op-1", kind: "add_service", actor: "ann", revision: 2 });
const update = makeOperation({ createdAt: new Date(0), id: "op-2", kind: "update_service_config", actor: "ann", revision: 2 });
const repair = makeOperation({ createdAt: new Date(0), id: "op-3", kind: "repair", actor: "drift", revision: 3 });

const situation: Situation = {
  decky: web,
  open: [add, update],
  revisions: new Map([
    [1, ssh],
    [2, both],
  ]),
  attempts: new Map(),
  movePolicy: "remove_first",
};

const end = { state: "succeeded", finishedAt: new Date() } as const;
const revision = { deckyId: "web-id", number: 3, services: ssh, actor: "ann", reason: "undo of op-1", operationId: "op-1" };
const told = resolution("reverted", {
  decky: { kind: "patch", patch: { desiredRevision: 3, state: "changing" } },
  revision,
  operations: [{ operation: add, patch: end }],
  opens: [repair],
  again: true,
});

it("a resolution reads as one line", () => {
  expect(formatResolution(situation, told)).toBe(
    "r3: undo of op-1 [ssh] · op-1 succeeded · opens op-3 pending · desired r3, state changing · again",
  );
  expect(formatResolution(situation, resolution("left", { decky: { kind: "gone" } }))).toBe("web gone");
  expect(formatResolution(situation, resolution("nothing"))).toBe("");
});

it("staged settings are marked, and a revision without a reason says why it is made", () => {
  const staged = { ...revision, reason: "", services: [{ slug: "ssh", config: {}, staged: { port: 22 } }] };
  expect(formatResolution(situation, resolution("saved", { revision: staged }))).toBe("r3: saved [ssh*]");
});

it("the situation after a resolution is what loading it would find", () => {
  const after = situationAfter(situation, told);
  expect(after?.decky).toEqual({ ...web, desiredRevision: 3, state: "changing", version: 8 });
  expect(after?.open).toEqual([update, repair]);
  expect([...(after?.revisions.keys() ?? [])]).toEqual([1, 2, 3]);
  expect(after === undefined ? [] : desiredServices(after)).toEqual(ssh);
});

it("the situation that a resolution was made from stays as it was", () => {
  const before = structuredClone(situation);
  situationAfter(situation, told);
  expect(situation).toEqual(before);
});

it("what opens with its end on record is not open afterwards", () => {
  const saved = { ...repair, state: "succeeded" } as const;
  expect(situationAfter(situation, resolution("saved", { opens: [saved] }))?.open).toEqual([add, update]);
  expect(applyResolution(situation, resolution("saved", { opens: [saved] })).ended).toEqual([saved]);
});

it("there is no situation after the end of a decky, and its operations end all the same", () => {
  const gone = resolution("torn down", { decky: { kind: "gone" }, operations: [{ operation: add, patch: end }] });
  expect(situationAfter(situation, gone)).toBeUndefined();
  expect(applyResolution(situation, gone)).toMatchObject({ decky: undefined, ended: [{ id: "op-1", state: "succeeded" }] });
});

it("two resolutions become one: of the decky the last word counts, everything else is kept in order", () => {
  const events = ["a", "b"].map((topic) => ({ topic, key: "web", payload: {} }));
  const first = resolution("seen", {
    decky: { kind: "patch", patch: { state: "degraded", message: "ssh: exited" } },
    operations: [{ operation: add, patch: end }],
    events: events.slice(0, 1),
    again: true,
  });
  const second = resolution("seen later", {
    decky: { kind: "patch", patch: { message: "" } },
    opens: [repair],
    events: events.slice(1),
  });
  expect(mergeResolutions(first, second)).toEqual({
    why: "seen later",
    decky: { kind: "patch", patch: { state: "degraded", message: "" } },
    operations: [{ operation: add, patch: end }],
    opens: [repair],
    events,
    again: true,
  });
});

it("a situation knows the services of its revisions, and none of revision 0", () => {
  expect([desiredServices(situation), goodServices(situation), servicesAt(situation, 0)]).toEqual([both, ssh, []]);
});

it("a revision that was not loaded is a defect, not an empty list", () => {
  expect(() => servicesAt(situation, 9)).toThrow("revision 9 of web was not loaded");
});
