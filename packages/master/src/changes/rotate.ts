import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import type { Reason } from "@decnet/contract/reasons";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { MutationOptions } from "../decide/resolve-mutation.ts";
import { foldWishes, nextDelayMs, retryDelayMs, rotateServices } from "../decide/rotation.ts";
import { seeded } from "../decide/topology/generate.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky } from "../model/decky.ts";
import type { OperationRecord } from "../model/operation.ts";
import { rotationActor } from "../model/rotation.ts";
import { isStorageFault } from "../store/database-errors.ts";
import type { DueRotation, FailedRotation } from "../store/rotations.ts";
import type { Store } from "../store/store.ts";
import type { MutationRequest, Mutations } from "./mutate.ts";

/** Deckies whose services change by themselves. */
export interface Rotations {
  /** Rotates one decky now. Throws ROTATION_IMPOSSIBLE, or what refuses a mutation. */
  rotate(request: Omit<MutationRequest, "kind" | "service" | "change">): Promise<OperationRecord>;
  /** Begins what is due and notes what has ended. One call after the other. */
  tick(): Promise<void>;
}

export interface RotationsOptions {
  readonly store: Pick<Store, "rotations" | "deckies">;
  readonly hosts: Pick<HostRegistry, "names">;
  readonly mutations: Mutations;
  readonly catalog: Catalog;
  /** Keyed: nobody else can tell what a decky will become. */
  readonly fingerprint: (text: string) => string;
  readonly log: Logger;
}

/** So many begin at once, and so many are looked at: what is due beyond that waits for the next time. */
const mostBegun = 4;
const mostSeen = 100;
/** Whatever it is that is under way, it will be over at another time. */
const passing: ReadonlySet<Reason> = new Set<Reason>([
  "REVISION_CONFLICT",
  "PLAN_CHANGED",
  "DECKY_LEAVING",
  "DECKY_NOT_FOUND",
  "DECKY_BEHIND",
  "HOST_UNREACHABLE",
  "ENGINE_UNAVAILABLE",
  "SHUTTING_DOWN",
]);

export function createRotations({ store, hosts, mutations, catalog, fingerprint, log }: RotationsOptions): Rotations {
  const { rotations } = store;
  const randomFor = (what: string) => seeded(Number.parseInt(fingerprint(what).slice(0, 8), 16));

  /** The same decky at the same revision becomes the same: a plan that was shown is the one that is done. */
  const choose = async (decky: Decky): Promise<MutationRequest["change"]> => {
    const found = (await rotations.of([decky.id])).get(decky.id);
    const earlier = await rotations.lastSettings(decky.id);
    const { pinned, barred } = found ?? { pinned: [], barred: [] };
    const about = { decky: decky.name, archetype: decky.identity.archetype, setting: found?.setting, earlier, pinned, barred };
    return (services) =>
      rotateServices({ ...about, services }, catalog, randomFor(`rotation ${decky.id} ${decky.desiredRevision}`));
  };

  const rotate: Rotations["rotate"] = async (request) => {
    await noteWishes();
    const { decky } = await store.deckies.show(request.scope, request.decky);
    return mutations.submit({ ...request, kind: "rotate_services", service: "", change: await choose(decky) });
  };

  const noteWishes = async (): Promise<void> => {
    for (const { deckyId, wishes, before, revisions, newest } of await rotations.unseen(mostSeen))
      await rotations.noteWishes(deckyId, foldWishes(wishes, before, revisions), newest);
  };

  const noteEnds = async (): Promise<void> => {
    for (const { deckyId, operationId, everySeconds, failures, state, message } of await rotations.ended(mostSeen)) {
      if (state !== "failed") await rotations.noteOver(deckyId, operationId, state === "succeeded");
      else await rotations.noteFailed(deckyId, { operationId }, failed(everySeconds, failures, message));
    }
  };

  const begin = async ({ rotation, scope, decky }: DueRotation): Promise<void> => {
    const { deckyId, setting, nextAt, failures } = rotation;
    const requestId = `rotation-${deckyId}-${nextAt.getTime()}`;
    try {
      const shown = await store.deckies.show(scope, decky);
      const options: MutationOptions = {
        ...{ requestId, expectedRevision: shown.decky.desiredRevision, expectedPlan: "", dryRun: false },
        ...{ reason: "its services change by themselves", onFailure: "undo", whenAway: "refuse" },
      };
      const { row } = await rotate({ scope, decky, actor: rotationActor, options, requestHash: fingerprint(requestId) });
      const delayMs = nextDelayMs(setting.everySeconds, randomFor(requestId));
      await rotations.noteBegun(deckyId, nextAt, row.id, delayMs);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (passing.has(error.reason) || isStorageFault(error)) return;
      log.warn("a decky was not rotated", { decky, reason: error.reason, why: error.message });
      await rotations.noteFailed(deckyId, { nextAt }, failed(setting.everySeconds, failures, error.message));
    }
  };

  return {
    rotate,
    async tick() {
      await noteEnds();
      await noteWishes();
      await Promise.all((await rotations.due(hosts.names, mostBegun)).map(begin));
    },
  };
}

/** Once more after so many times. */
function failed(everySeconds: number, before: number, message: string): FailedRotation {
  const failures = before + 1;
  return { failures, message, delayMs: retryDelayMs(everySeconds, failures) };
}
