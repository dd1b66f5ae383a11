import { isDeepStrictEqual } from "node:util";
import { type Decky, type DeckyPatch, isBehind } from "../../model/decky.ts";
import { type BusEvent, stateEvent } from "../../model/events.ts";
import { makeOperation, type Operation, type OperationError, type OperationPatch } from "../../model/operation.ts";
import { type Design, isLive, type Topology } from "../../model/topology.ts";
import type { DeckyChange } from "../decky-change.ts";
import { type Resolution, resolution } from "../resolution.ts";
import { type PresentDeckies, topologyDifference } from "./difference.ts";
import { type EditTrace, type TakenBack, takeBackEdit } from "./take-back.ts";
import { type Issue, type ValidationContext, validateDesign } from "./validate.ts";

/** All that the end of a live edit is decided from: its parts have ended, and not all of them well. */
export interface EditSituation {
  readonly topology: Topology;
  readonly edit: Operation;
  /** All of its parts, by name of their deckies. */
  readonly parts: readonly Operation[];
  readonly trace: EditTrace;
  readonly present: PresentDeckies;
}

export interface EditContext extends ValidationContext {
  readonly now: Date;
  readonly makeId: () => string;
}

/** What becomes of one decky so that it is as designed. */
export interface Way {
  readonly decky: Decky;
  readonly resolution: Resolution;
  readonly events: readonly BusEvent[];
}

export interface EditResolution {
  /** Undefined: it stays as it is. */
  readonly design: Design | undefined;
  readonly patch: OperationPatch;
  /** Parts of the edit that are still to be done: it ends after them. */
  readonly ways: readonly Way[];
}

/** A design names no more of what stays. */
const mostTold = 8;

/**
 * A live edit of which a part failed or was cancelled is taken back as a whole: the design, and then every decky that is not as
 * the design says. A failure that is kept stays designed. Pure.
 */
export function resolveEdit(situation: EditSituation, context: EditContext): EditResolution {
  const { topology, parts } = situation;
  const error = errorOf(parts);
  if (isKept(situation, context)) {
    const message = `${error.message}; the design stays as it was edited, because the failure is kept`;
    return { design: undefined, patch: { error: { ...error, message } }, ways: [] };
  }
  const { design, stays } = soundBack(situation, context);
  const isBack = !isDeepStrictEqual(design, topology.design);
  const message = `${error.message}; ${told(isBack, topology.version + 1, stays)}`;
  return {
    design: isBack ? design : undefined,
    patch: { error: { ...error, message, undone: stays.length === 0 && parts.every(isTakenBack) } },
    ways: isLive(topology) ? waysTo(design, situation, context) : [],
  };
}

function errorOf(parts: readonly Operation[]): OperationError {
  const failed = parts.find(({ state, error }) => state === "failed" && error !== null);
  if (failed?.error != null) return { ...failed.error, message: `${failed.deckyName}: ${failed.error.message}`, undone: false };
  return { reason: "OPERATION_CANCELLED", message: "cancelled", next: [], outputTail: [], undone: false };
}

function isOver({ state }: Operation): boolean {
  return state === "failed" || state === "cancelled";
}

/** One that was cancelled before it began has no error. */
function isTakenBack(part: Operation): boolean {
  return !isOver(part) || part.error === null || part.error.undone;
}

/** Whether what failed was to be kept, and is: its deckies are wanted as they are designed. */
function isKept({ topology, edit, parts, present }: EditSituation, { now }: EditContext): boolean {
  if (edit.onFailure !== "keep") return false;
  const designed = new Set(
    topologyDifference(topology, present, now, "leave").flatMap(({ action, decky }) => (action === "keep" ? [decky.id] : [])),
  );
  const leaving = new Set(present.deckies.flatMap(({ id, leaving: goes }) => (goes ? [id] : [])));
  return parts.filter(isOver).every(({ deckyId }) => deckyId !== null && (designed.has(deckyId) || leaving.has(deckyId)));
}

/** Where what others designed since needs what the edit made, the design stays. */
function soundBack({ topology, trace, present }: EditSituation, context: EditContext): TakenBack {
  const there = new Map(present.deckies.map((decky) => [decky.id, decky]));
  const back = takeBackEdit(topology.design, trace, { there, takenSubnets: context.takenSubnets });
  const textOf = ({ code, message }: Issue) => `${code}: ${message}`;
  const known = new Set(faults(topology.design, context).map(textOf));
  const broken = faults(back.design, context).map(textOf);
  const added = broken.filter((text) => !known.has(text));
  return added.length === 0 ? back : { design: topology.design, stays: added };
}

/** Once deployed, a LAN that nothing leads to is none. */
function faults(design: Design, context: EditContext): Issue[] {
  return validateDesign(design, context).filter(({ severity, code }) => severity === "error" && code !== "DMZ_ORPHAN");
}

function told(isBack: boolean, version: number, stays: readonly string[]): string {
  const more = stays.length > mostTold ? [`${stays.length - mostTold} more`] : [];
  const but = stays.length === 0 ? "" : `, but for this: ${[...stays.slice(0, mostTold), ...more].join("; ")}`;
  return isBack ? `the design is as before the edit again, version ${version}${but}` : `the design stays as it is${but}`;
}

/** What was never deployed is not deployed now: a resync does that. */
function waysTo(design: Design, { topology, edit, present }: EditSituation, { now, makeId }: EditContext): Way[] {
  return topologyDifference({ ...topology, design }, present, now, "leave").flatMap((change) => {
    const { action, decky } = change;
    // What its host has of it that is not known here is not undone.
    const isLeft = action === "keep" || action === "deploy" || decky.leaving || (isBehind(decky) && action !== "teardown");
    return isLeft ? [] : [wayOf(edit, change, makeId(), now)];
  });
}

/** Nothing new is asked for: what does not succeed is tried again by itself. */
function wayOf(edit: Operation, { action, decky, identity, attachments, services }: DeckyChange, id: string, now: Date): Way {
  const number = decky.desiredRevision + 1;
  const { actor = edit.actor } = edit.cancelledBy ?? {};
  const reason = `undo of ${edit.id}`;
  const operation = makeOperation({
    ...{ id, actor, reason, parent: edit.id, deckyId: decky.id, scope: decky.scope, deckyName: decky.name, host: decky.host },
    ...{ kind: action === "teardown" ? "teardown_decky" : "repair", revision: number, createdAt: now },
  });
  const patch: DeckyPatch = {
    ...{ desiredRevision: number, leaving: action === "teardown", lastOperation: id, state: "changing", identity, attachments },
    ...{ repairPaused: false, retryAt: null, retryCause: "", failures: 0 },
  };
  return {
    decky,
    resolution: resolution(reason, {
      decky: { kind: "patch", patch },
      revision: { deckyId: decky.id, number, services, actor, reason, operationId: id },
      opens: [operation],
    }),
    events: stateEvent(decky, "changing", ""),
  };
}
