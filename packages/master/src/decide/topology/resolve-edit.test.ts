import { describe, expect, it } from "vitest";
import type { Decky } from "../../model/decky.ts";
import { makeOperation, type NewOperation, type Operation, type OperationError } from "../../model/operation.ts";
import type { Design, Topology } from "../../model/topology.ts";
import { formatResolution } from "../format-resolution.ts";
import { topologyDifference } from "./difference.ts";
import { type Edit, editDesign } from "./edit.ts";
import { resolveEdit } from "./resolve-edit.ts";
import { traceEdit } from "./take-back.ts";

const now = new Date("2026-01-01T00:00:00Z");
const catalog = { services: new Map() };

const place = (lan: string, ip: string) => ({ lan, ip, mac: `00:50:56:00:0${ip.split(".")[2]}:0${ip.split(".")[3]}` });
const designed = (name: string, ...attachments: readonly ReturnType<typeof place>[]) => ({
  ...{ id: `id-${name}`, name, archetype: "", services: [], forwards: attachments.length > 1, attachments },
});
const first: Design = {
  lans: [
    { name: "dmz", subnet: "10.0.0.0/24", isDmz: true },
    { name: "core", subnet: "10.0.1.0/24", isDmz: false },
    { name: "far", subnet: "10.0.2.0/24", isDmz: false },
  ],
  deckies: [
    designed("gateway", place("dmz", "10.0.0.2"), place("core", "10.0.1.2")),
    designed("web", place("core", "10.0.1.3")),
    designed("db", place("far", "10.0.2.4")),
  ],
};

const topologyOf = (design: Design, state: Topology["state"] = "active"): Topology => ({
  ...{ id: "t1", name: "corp", host: "local", publishOn: "", state, reason: "", stateChangedAt: now, version: 7, design },
  ...{ generatedFrom: null, createdAt: now },
});

/** The deckies of a design, as they are wanted then. */
const deckiesOf = (design: Design): Decky[] =>
  topologyDifference(topologyOf(design), { deckies: [], services: new Map() }, now).map(({ decky }) => ({
    ...decky,
    ...({ state: "running", appliedRevision: 1, renderedRevision: 1 } as const),
  }));

const edited = (design: Design, edits: readonly Edit[]) =>
  edits.reduce(
    (each, edit) =>
      editDesign({ design: each, state: "active" }, edit, {
        ...{ usedSubnets: [], subnetBase: "10.0.0.0/8", makeId: () => "id-mail", random: () => 0.5 },
      }),
    design,
  );

const added: Edit = {
  kind: "add_decky",
  name: "mail",
  archetype: "",
  services: [],
  forwards: false,
  lans: [{ lan: "core", ip: "" }],
};
const attached: Edit = { kind: "attach_decky", name: "db", place: { lan: "core", ip: "10.0.1.9" } };
const forwards = (name: string, is: boolean): Edit => ({
  ...{ kind: "update_decky", name, archetype: undefined, services: undefined, forwards: is },
});
const removed: Edit = { kind: "remove_decky", name: "web" };

const failed: OperationError = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: true };
const part = (deckyName: string, state: Operation["state"], more: Partial<NewOperation> = {}) =>
  makeOperation({
    ...{
      id: `op-${deckyName}`,
      kind: "change_decky",
      actor: "ann",
      createdAt: now,
      deckyId: `id-${deckyName}`,
      deckyName,
      state,
    },
    ...(state === "failed" ? { error: failed } : {}),
    ...more,
  });

interface Given {
  readonly edit: Edit;
  readonly later?: readonly Edit[];
  readonly parts: readonly Operation[];
  /** How each decky is that is not as it was before the edit: as the edit wants it, or gone, or leaving. */
  readonly deckies?: Readonly<Record<string, "edited" | "gone" | "leaving">>;
  readonly onFailure?: "keep";
  readonly state?: Topology["state"];
}

function resolve({ edit, later = [], parts, deckies = {}, onFailure, state }: Given) {
  const after = edited(first, [edit]);
  const design = edited(after, later);
  const before = new Map(deckiesOf(first).map((decky) => [decky.name, decky]));
  const then = new Map(deckiesOf(design).map((decky) => [decky.name, decky]));
  const present = [...new Set([...before.keys(), ...then.keys()])].flatMap((name): Decky[] => {
    const how = deckies[name];
    const decky = how === "edited" ? then.get(name) : before.get(name);
    return decky === undefined || how === "gone" ? [] : [{ ...decky, leaving: how === "leaving" }];
  });
  const resolved = resolveEdit(
    {
      topology: topologyOf(design, state),
      edit: makeOperation({
        ...{ id: "op-1", kind: "edit_topology", actor: "ann", createdAt: now, state: "running" },
        ...(onFailure === undefined ? {} : { onFailure }),
      }),
      trace: traceEdit(first, after),
      present: { deckies: present, services: new Map() },
      parts,
    },
    { catalog, takenSubnets: [], now, makeId: () => "op-way" },
  );
  const { error } = resolved.patch;
  return {
    design: resolved.design === undefined ? "stays" : resolved.design,
    says: error?.message,
    undone: error?.undone,
    ways: resolved.ways.map(({ decky, resolution }) => `${decky.name}: ${formatResolution({ decky }, resolution)}`),
  };
}

const notOnTwo = "GATEWAY_NOT_IN_DMZ: db forwards, and is neither on the DMZ nor on two LANs";
const isBack = "the design is as before the edit again, version 8";
/** Without what only says that it begins. */
const again = (name: string) => `${name}: r2: undo of op-1 [] · opens op-way pending · desired r2, state changing`;

describe("a live edit that did not succeed", () => {
  it.each<readonly [what: string, given: Given, end: Partial<ReturnType<typeof resolve>>]>([
    [
      "a decky that was added could not be deployed",
      { edit: added, parts: [part("mail", "failed", { kind: "deploy_decky" })], deckies: { mail: "gone" } },
      { design: first, says: `mail: no; ${isBack}`, undone: true, ways: [] },
    ],
    [
      "a deploy was cancelled before it began",
      { edit: added, parts: [part("mail", "cancelled", { kind: "deploy_decky" })], deckies: { mail: "gone" } },
      { design: first, says: `cancelled; ${isBack}`, undone: true, ways: [] },
    ],
    [
      "a decky could not be attached, and went back by itself",
      { edit: attached, parts: [part("db", "failed")] },
      { design: first, says: `db: no; ${isBack}`, undone: true, ways: [] },
    ],
    [
      "the undo of a part failed: that is tried again by itself",
      { edit: attached, parts: [part("db", "failed", { error: { ...failed, undone: false } })] },
      { design: first, undone: false, ways: [] },
    ],
    [
      "one decky failed, and another had become what it was to be: it goes back as well",
      {
        edit: attached,
        later: [],
        parts: [part("db", "succeeded"), part("web", "failed")],
        deckies: { db: "edited" },
      },
      { design: first, says: `web: no; ${isBack}`, undone: true, ways: [again("db")] },
    ],
    [
      "a decky was added and stands, and others could not be changed for it: it goes",
      {
        edit: added,
        parts: [part("mail", "succeeded", { kind: "deploy_decky" }), part("web", "failed")],
        deckies: { mail: "edited" },
      },
      {
        design: first,
        undone: true,
        ways: ["mail: r2: undo of op-1 [] · opens op-way pending · desired r2, state changing, leaving true"],
      },
    ],
    [
      "a decky is gone that was to go, and others could not be changed for it: they are",
      {
        edit: removed,
        parts: [part("web", "succeeded", { kind: "teardown_decky" }), part("db", "failed")],
        deckies: { web: "gone" },
      },
      { design: "stays", says: "db: no; the design stays as it is, but for this: web is gone", undone: false, ways: [] },
    ],
    [
      "a teardown failed: it is tried again by itself, and not asked for twice",
      { edit: removed, parts: [part("web", "failed", { kind: "teardown_decky" })], deckies: { web: "leaving" } },
      {
        design: "stays",
        says: "web: no; the design stays as it is, but for this: web is still being torn down",
        undone: false,
        ways: [],
      },
    ],
    [
      "a teardown was cancelled: the decky stays, and is designed again",
      { edit: removed, parts: [part("web", "cancelled", { kind: "teardown_decky" })] },
      { design: first, says: `cancelled; ${isBack}`, undone: true, ways: [] },
    ],
    [
      "what failed is kept: it stays designed",
      { edit: attached, parts: [part("db", "failed")], deckies: { db: "edited" }, onFailure: "keep" },
      {
        design: "stays",
        says: "db: no; the design stays as it was edited, because the failure is kept",
        ways: [],
      },
    ],
    [
      "what was to be kept was cancelled before it began: there is nothing to keep",
      { edit: added, parts: [part("mail", "cancelled")], deckies: { mail: "gone" }, onFailure: "keep" },
      { design: first, undone: true },
    ],
    [
      "somebody lets the decky forward since, which it cannot on one LAN: the edit stays, and is tried again",
      { edit: attached, later: [forwards("db", true)], parts: [part("db", "failed")] },
      {
        design: "stays",
        says: `db: no; the design stays as it is, but for this: ${notOnTwo}`,
        undone: false,
      },
    ],
    [
      "the topology is being torn down meanwhile: the design goes back, and nothing else is done",
      { edit: attached, parts: [part("db", "failed")], deckies: { db: "edited" }, state: "tearing_down" },
      { design: first, ways: [] },
    ],
  ])("%s", (_, given, end) => {
    expect(resolve(given)).toMatchObject(end);
  });
});
