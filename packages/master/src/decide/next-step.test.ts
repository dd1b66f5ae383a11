import { expect, it } from "vitest";
import type { Decky, MovePolicy } from "../model/decky.ts";
import { makeOperation, type Operation } from "../model/operation.ts";
import { type Next, type NextStep, nextStep } from "./next-step.ts";

const add = makeOperation({ createdAt: new Date(0), id: "op-1", kind: "add_service", actor: "ann" });
const cancelled: Operation = { ...add, cancelRequested: true };
const error = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: false } as const;
const undoing: Operation = { ...cancelled, error };

/** Lives on edge-1, runs there, and is nowhere else. */
interface Given {
  readonly open?: readonly Operation[];
  readonly removals?: readonly string[];
  readonly policy?: MovePolicy;
  readonly isRendered?: boolean;
  readonly leaving?: boolean;
  readonly retryAt?: Date;
  readonly more?: Partial<Decky>;
  readonly away?: readonly string[];
  /** Held by another master. */
  readonly elsewhere?: readonly string[];
}

function next({ open = [add], removals = [], policy = "remove_first", isRendered = true, leaving = false, ...given }: Given) {
  const { away = [], elsewhere = [], retryAt: at = null, more } = given;
  const wanted: Partial<Decky> = { desiredRevision: 2, appliedRevision: 2, repairPaused: false, retryAt: at };
  const place = { host: "edge-1", pendingRemovals: removals, renderedRevision: isRendered ? 1 : 0, leaving };
  const decky = { ...place, ...wanted, ...more } as Decky;
  const situation = { decky, open, movePolicy: policy, revisions: new Map(), attempts: new Map() };
  const whereIs = (host: string) => (away.includes(host) ? "away" : elsewhere.includes(host) ? "elsewhere" : "here");
  return tell(nextStep(situation, whereIs));
}

/** The step, then the removals beside it. */
function tell({ step, removals }: Next): string {
  const main = mainOf(step);
  return removals.length === 0 ? main : `${main}, meanwhile remove from ${removals}`;
}

function mainOf(step: NextStep): string {
  if (step.kind === "blocked") return `blocked on ${step.host}`;
  if (step.kind === "retry") return step.at === null ? "retry now" : `retry at ${step.at.toISOString().slice(11, 16)}`;
  return step.kind === "remove" ? `remove from ${step.hosts}` : step.kind;
}

const retryAt = new Date("2026-01-01T12:00:00Z");
const moved = { removals: ["edge-2", "edge-3"], isRendered: false };

it.each<[name: string, given: Given, text: string]>([
  ["nothing is open", { open: [] }, "idle"],
  ["nothing is open, and it runs at its new place", { open: [], removals: ["edge-2"] }, "idle, meanwhile remove from edge-2"],
  ["nothing is open, and it does not run yet", { open: [], removals: ["edge-2"], isRendered: false }, "retry now"],
  ["nothing is open, and its teardown failed", { open: [], leaving: true, retryAt }, "retry at 12:00"],
  [
    "nothing is open, its teardown failed, and its host is away",
    { open: [], leaving: true, away: ["edge-1"] },
    "blocked on edge-1",
  ],
  ["nothing is open, and what is wanted was never seen", { open: [], more: { appliedRevision: 1 } }, "retry now"],
  ["nothing is open, and a failure is kept", { open: [], more: { appliedRevision: 1, repairPaused: true } }, "idle"],
  ["nothing is open, and the old host is away", { open: [], removals: ["edge-2"], away: ["edge-2"] }, "idle"],
  ["a change is open", {}, "apply"],
  ["its host is away", { away: ["edge-1"] }, "blocked on edge-1"],
  ["another host is away", { away: ["edge-2"] }, "apply"],
  ["it moved, and is removed first", moved, "remove from edge-2,edge-3"],
  ["it moved once, and is removed first", { ...moved, removals: ["edge-2"] }, "remove from edge-2"],
  ["it moved, is removed first, and one old host is away", { ...moved, away: ["edge-3"] }, "blocked on edge-3"],
  ["it moved, is removed first, and the new host is away", { ...moved, away: ["edge-1"] }, "blocked on edge-1"],
  ["it moved, and the old one is kept until it runs", { ...moved, policy: "keep_old" }, "apply"],
  ["it moved, the old one is kept, and an old host is away", { ...moved, policy: "keep_old", away: ["edge-2"] }, "apply"],
  [
    "it runs at its new place, and changes while its host is away",
    { removals: ["edge-2"], away: ["edge-1"] },
    "blocked on edge-1, meanwhile remove from edge-2",
  ],
  ["it is torn down, and removed everywhere first", { ...moved, policy: "keep_old", leaving: true }, "remove from edge-2,edge-3"],
  [
    "it is torn down, and an old host that is away is left when it is back",
    { ...moved, policy: "keep_old", leaving: true, away: ["edge-2", "edge-3"] },
    "apply",
  ],
  ["its move was cancelled: it is undone before anything is removed", { ...moved, open: [cancelled] }, "apply"],
  ["its move was cancelled while an old host is away", { ...moved, open: [cancelled], away: ["edge-2"] }, "blocked on edge-2"],
  ["another master has its host", { elsewhere: ["edge-1"] }, "idle"],
  [
    "another master has its host, and nobody changes it",
    { open: [], more: { appliedRevision: 1 }, elsewhere: ["edge-1"] },
    "idle",
  ],
  [
    "it moved, is removed first, and another master has its new host",
    { ...moved, elsewhere: ["edge-1"] },
    "idle, meanwhile remove from edge-2,edge-3",
  ],
  [
    "it moved to a host of another master, and the old one is kept until it runs",
    { ...moved, policy: "keep_old", elsewhere: ["edge-1"] },
    "idle",
  ],
  [
    "it moved to a host of another master, and runs there",
    { removals: ["edge-2"], policy: "keep_old", elsewhere: ["edge-1"] },
    "idle, meanwhile remove from edge-2",
  ],
  ["it moved, is removed first, and another master has an old host", { ...moved, elsewhere: ["edge-3"] }, "remove from edge-2"],
  ["it moved, is removed first, and another master has all old hosts", { ...moved, elsewhere: ["edge-2", "edge-3"] }, "idle"],
  [
    "it moved, is removed first, another master has an old host, and one is away",
    { ...moved, elsewhere: ["edge-2"], away: ["edge-3"] },
    "blocked on edge-3",
  ],
  [
    "it runs at its new place, and another master has the old one",
    { removals: ["edge-2"], policy: "keep_old", elsewhere: ["edge-2"] },
    "apply",
  ],
  ["its move was cancelled and is being undone", { ...moved, open: [undoing] }, "remove from edge-2,edge-3"],
])("%s", (_name, given, text) => expect(next(given)).toBe(text));
