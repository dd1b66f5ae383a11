import type { Catalog } from "@decnet/engine/catalog/types";
import { type Decky, type DeckyPatch, isSameMachine, type SeenIdentity, type StoredService } from "../model/decky.ts";
import type { Operation } from "../model/operation.ts";
import { diffServices, restoreServices, sameService, sameServices } from "../model/services.ts";
import { moveTo } from "./move.ts";
import { desiredServices, goodServices, type Situation } from "./situation.ts";

/** What one apply was about, as it began. */
export interface Attempt {
  readonly decky: Decky;
  readonly revision: number;
  readonly services: readonly StoredService[];
  /** The operations that it was made for, oldest first. */
  readonly open: readonly Operation[];
}

/**
 * How a failed change is taken back.
 * - removed: it was the first deploy; nothing of the decky stays.
 * - stays: it was a teardown that was cancelled.
 * - back: it was a move; the decky goes to where it ran.
 * - reverted: services and identity go back to how they were last seen running.
 * - kept: on_failure is KEEP.
 * - undo_failed: it was an undo already.
 * - nothing: what failed is what is wanted: it is tried again.
 */
export type Undo =
  | {
      readonly kind: "removed" | "stays" | "back" | "reverted";
      readonly services: readonly StoredService[];
      readonly patch: DeckyPatch;
    }
  | { readonly kind: "kept" | "undo_failed" | "nothing" };

/** Slugs of the services that go back; the empty one stands for all that the attempt changed. */
export function decideUndo(
  situation: Situation,
  attempt: Attempt,
  culprits: readonly Operation[],
  how: { readonly slugs: readonly string[]; readonly isInterrupted: boolean },
  catalog: Catalog,
): Undo {
  const { decky } = situation;
  const fresh = culprits.filter((operation) => operation.error === null);
  if (fresh.some((operation) => operation.onFailure === "keep")) return { kind: "kept" };
  if (fresh.length === 0) return { kind: "undo_failed" };
  // A repair asks for nothing new.
  if (fresh.every(({ kind }) => kind === "repair")) return { kind: "nothing" };
  const desired = desiredServices(situation);
  const services = revertSlugs(desired, attempt.services, goodServices(situation), how.slugs, catalog);
  const isOf = (kind: Operation["kind"]) => fresh.some((operation) => operation.kind === kind);
  const place = isOf("move_decky") ? moveBack(decky, attempt.decky.host) : undefined;
  const self = fresh.some(changesIdentity) ? identityBack(decky, attempt.decky) : undefined;
  const back = place === undefined && self === undefined ? undefined : { ...place, ...self };
  if (decky.appliedRevision === 0 && !decky.leaving && isOf("deploy_decky"))
    return { kind: "removed", services: desired, patch: { leaving: true, ...back } };
  if (how.isInterrupted && decky.leaving && isOf("teardown_decky"))
    return { kind: "stays", services, patch: { leaving: false, ...back } };
  if (place !== undefined) return { kind: "back", services, patch: { leaving: false, ...back } };
  // A teardown that waits behind what failed goes on.
  const leaving = decky.leaving && !isOf("teardown_decky");
  if (self !== undefined || !sameServices(services, desired)) return { kind: "reverted", services, patch: { leaving, ...self } };
  return { kind: "nothing" };
}

/** `desired` with some services as they were last seen running, as far as they are still the ones that were attempted. */
export function revertSlugs(
  desired: readonly StoredService[],
  attempted: readonly StoredService[],
  good: readonly StoredService[],
  slugs: readonly string[],
  catalog: Catalog,
): StoredService[] {
  const all = slugs.flatMap((slug) =>
    slug === "" ? diffServices(good, attempted, catalog).map((change) => change.service) : [slug],
  );
  return all.reduce<StoredService[]>((services, slug) => revertService(services, attempted, good, slug), [...desired]);
}

/** Puts one service back to how it was last seen running, if it is still the one that was attempted. */
export function revertService(
  desired: readonly StoredService[],
  attempted: readonly StoredService[],
  good: readonly StoredService[],
  slug: string,
): StoredService[] {
  const find = (list: readonly StoredService[]) => list.find((service) => service.slug === slug);
  return sameService(find(desired), find(attempted)) ? restoreServices(desired, good, slug) : [...desired];
}

/** Whether an operation may make another machine of a decky. */
export function changesIdentity({ kind }: Pick<Operation, "kind">): boolean {
  return kind === "change_decky" || kind === "move_decky";
}

/** As what a decky ran before a redeploy that failed; undefined when it is that still, or something else by now. */
export function identityBack(
  decky: Pick<Decky, "identity" | "attachments" | "appliedIdentity">,
  attempted: SeenIdentity,
): SeenIdentity | undefined {
  const { appliedIdentity } = decky;
  if (appliedIdentity === null || !isSameMachine(decky, attempted) || isSameMachine(decky, appliedIdentity)) return undefined;
  return { identity: appliedIdentity.identity, attachments: appliedIdentity.attachments };
}

/** Where a decky whose move failed goes: to where it ran. A host that is away is waited for. */
export function moveBack(decky: Decky, attempted: string): DeckyPatch | undefined {
  const { lastHost } = decky;
  if (lastHost === null || decky.leaving || decky.host !== attempted || lastHost === attempted) return undefined;
  return moveTo(decky, lastHost);
}
