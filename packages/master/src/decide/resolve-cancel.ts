import { stateAsSeen } from "../model/as-seen.ts";
import type { Decky, DeckyPatch, StoredService } from "../model/decky.ts";
import { operationEvents, stateEvent } from "../model/events.ts";
import { makeOperation, type Operation } from "../model/operation.ts";
import { sameServices } from "../model/services.ts";
import { applyResolution, type Resolution, resolution } from "./resolution.ts";
import { desiredServices, goodServices, type Situation, servicesAt } from "./situation.ts";
import { changesIdentity, identityBack, revertService } from "./undo.ts";

export interface Cancel {
  readonly operationId: string;
  /** Who cancels, and why. */
  readonly actor: string;
  readonly reason: string;
  readonly requestId: string;
  readonly now: Date;
  readonly makeId: () => string;
}

/**
 * An operation that has not begun ends here, and what it stored is taken back: no host has heard of it. One that runs is
 * interrupted, and its apply undoes it; while its host is away that waits for the host. Undefined for one that has ended. Pure.
 */
export function resolveCancel(situation: Situation, cancel: Cancel): Resolution | undefined {
  const { decky, open } = situation;
  const operation = open.find(({ id }) => id === cancel.operationId);
  if (operation === undefined) return undefined;
  const { actor, reason, requestId } = cancel;
  const asked = { cancelRequested: true, cancelledBy: operation.cancelledBy ?? { actor, reason, requestId } } as const;
  const isFirst = operation.kind === "deploy_decky" && decky.desiredRevision === operation.revision;
  // A later change may build on what is not one service's alone.
  const isBuiltOn = operation.service === "" && operation.revision !== decky.desiredRevision;
  if (operation.state !== "pending" || (!isFirst && (decky.appliedRevision === 0 || isBuiltOn)))
    return resolution("cancel asked for", { operations: [{ operation, patch: asked }] });
  const patch = { ...asked, state: "cancelled", finishedAt: cancel.now } as const;
  const ended = { ...operation, ...patch };
  if (isFirst)
    return resolution("cancelled before it was deployed", {
      decky: { kind: "gone" },
      operations: [{ operation, patch }],
      events: [...operationEvents(ended, []), ...stateEvent(decky, "gone", "cancelled")],
    });
  const services = servicesWithout(situation, operation);
  const taken = takeBack(situation, operation, services, cancel);
  const { decky: after = decky } = applyResolution(situation, taken);
  return {
    ...taken,
    operations: [{ operation, patch }, ...taken.operations],
    events: [...operationEvents(ended, services), ...stateEvent({ ...after, state: decky.state }, after.state, after.message)],
  };
}

/** Why a revision was made that takes a cancelled change back. */
export function reasonOfCancel(operationId: string, why: string): string {
  return `cancel of ${operationId}${why === "" ? "" : `: ${why}`}`;
}

/** What is wanted without what this operation asked for. */
function servicesWithout(situation: Situation, operation: Operation): readonly StoredService[] {
  const before = servicesAt(situation, operation.revision - 1);
  if (operation.revision === situation.decky.desiredRevision) return before;
  return revertService(desiredServices(situation), servicesAt(situation, operation.revision), before, operation.service);
}

function takeBack(
  situation: Situation,
  operation: Operation,
  services: readonly StoredService[],
  { actor, reason: why, now, makeId }: Cancel,
): Resolution {
  const { decky, open } = situation;
  const number = decky.desiredRevision + 1;
  const reason = reasonOfCancel(operation.id, why);
  const movedFrom = operation.kind === "move_decky" ? decky.lastHost : null;
  // Back at what is applied already: nothing is left to be done for the new revision.
  const isApplied = open.length === 1 && movedFrom === null && sameServices(services, goodServices(situation));
  const patch: DeckyPatch = {
    desiredRevision: number,
    // A teardown that waits behind it goes on.
    leaving: decky.leaving && operation.kind !== "teardown_decky",
    ...stay(decky, movedFrom),
    ...(changesIdentity(operation) && !open.some((other) => other !== operation && changesIdentity(other))
      ? identityBack(decky, decky)
      : {}),
    ...(isApplied ? { appliedRevision: number } : {}),
    // Nothing was begun: it is as it was seen last.
    ...(open.length === 1 && movedFrom === null && decky.state === "changing" ? stateAsSeen(decky.observed) : {}),
  };
  // Nothing changed where it is: the repair says so.
  const repair = (host: string) =>
    makeOperation({
      id: makeId(),
      kind: "repair",
      actor,
      reason,
      deckyId: decky.id,
      scope: decky.scope,
      deckyName: decky.name,
      host,
      revision: number,
      createdAt: now,
    });
  // What was to move with it stays with it.
  const others = open.filter((other) => movedFrom !== null && other !== operation && other.host === decky.host);
  return resolution("cancelled before it began", {
    decky: { kind: "patch", patch },
    operations: others.map((other) => ({ operation: other, patch: { host: movedFrom ?? other.host } })),
    revision: { deckyId: decky.id, number, services, actor, reason, operationId: operation.id },
    opens: movedFrom === null ? [] : [repair(movedFrom)],
  });
}

/** A move that had not begun: the decky is where it was, and has not to be removed there. */
function stay(decky: Decky, movedFrom: string | null): DeckyPatch {
  if (movedFrom === null) return {};
  return { host: movedFrom, pendingRemovals: decky.pendingRemovals.filter((host) => host !== movedFrom) };
}
