import { isDeepStrictEqual } from "node:util";
import type { ServiceConfig } from "@decnet/engine/catalog/types";
import type { JudgedDecky } from "@decnet/engine/diagnose/judge";
import type { EgressRule } from "@decnet/engine/policy/egress";
import type { AttachmentSpec, AttachmentSpecs, LanSpec, RouteSpec } from "@decnet/engine/spec";

export type DeckyState = "pending" | "changing" | "running" | "degraded" | "detached" | "failed" | "unknown";

/** Fixed at deploy. */
export interface Identity {
  readonly hostname: string;
  readonly distro: string;
  readonly osFamily: string;
  readonly archetype: string;
  readonly baseImage: string;
  readonly buildBase: string;
  /** Routes between its LANs. */
  readonly forwards?: boolean;
  /** Ways to LANs that it is not on. */
  readonly routes?: readonly RouteSpec[];
  /** What it may call besides its neighbours. */
  readonly egress?: readonly EgressRule[];
  /** An address of its host on which the ports of its services are published. */
  readonly publishOn?: string;
}

/** As what a decky was seen running, and where. */
export interface SeenIdentity {
  readonly identity: Identity;
  readonly attachments: AttachmentSpecs;
}

/** One service of a revision. `staged` is saved and not applied: stored and shown, never rendered. */
export interface StoredService {
  readonly slug: string;
  readonly config: ServiceConfig;
  readonly staged?: ServiceConfig | undefined;
}

/** How a decky was last seen. */
export type ObservedRecord = Pick<JudgedDecky, "baseId" | "services" | "denied">;

export function observedOf({ baseId, services, denied }: JudgedDecky): ObservedRecord {
  return { baseId, services, ...(denied === undefined ? {} : { denied }) };
}

/** What is stored of one decky, besides its revisions. */
export interface Decky {
  readonly id: string;
  readonly scope: string;
  readonly name: string;
  readonly host: string;
  /** Its places on LANs, home first. */
  readonly attachments: AttachmentSpecs;
  readonly identity: Identity;
  readonly desiredRevision: number;
  /** Newest revision seen running; also the one that an undo goes back to. 0: none yet. */
  readonly appliedRevision: number;
  /** Newest revision that its host applied; staged settings raise `appliedRevision` alone. */
  readonly renderedRevision: number;
  readonly leaving: boolean;
  /** A failed change is kept, because its caller wanted to: nothing is repaired or tried again before the next change. */
  readonly repairPaused: boolean;
  /** After moves: where it still has to be removed, the newest last. */
  readonly pendingRemovals: readonly string[];
  /** Where it was last seen running; null: nowhere yet. */
  readonly lastHost: string | null;
  readonly state: DeckyState;
  readonly message: string;
  readonly observed: ObservedRecord | null;
  /** When `observed` was stored; a later drift check found the same. */
  readonly observedAt: Date | null;
  readonly lastOperation: string | null;
  readonly failures: number;
  /** What failed, or was repaired, is not tried again before; null when nothing did lately. */
  readonly retryAt: Date | null;
  /** Why the last try failed; empty when it did not. */
  readonly retryCause: string;
  /** As what it was last seen running, and where on the LAN: a redeploy that fails goes back to it. */
  readonly appliedIdentity: SeenIdentity | null;
  /**
   * The revision that its host said it has, when that was later than every one known here: the database is of a backup from
   * before it. 0: none.
   */
  readonly aheadRevision: number;
  readonly createdAt: Date;
  /** Rises with every change of the decky or of its open operations: a decision made from an older one is not stored. */
  readonly version: number;
}

/** A decky of which nothing has been done yet. */
export function newDecky(decky: Pick<Decky, "id" | "scope" | "name" | "host" | "attachments" | "identity" | "createdAt">): Decky {
  return {
    ...decky,
    desiredRevision: 1,
    appliedRevision: 0,
    renderedRevision: 0,
    leaving: false,
    repairPaused: false,
    pendingRemovals: [],
    lastHost: null,
    state: "pending",
    message: "",
    observed: null,
    observedAt: null,
    lastOperation: null,
    failures: 0,
    retryAt: null,
    retryCause: "",
    appliedIdentity: null,
    aheadRevision: 0,
    version: 1,
  };
}

export type DeckyPatch = Partial<Omit<Decky, "id" | "scope" | "name" | "createdAt" | "version">>;

/** Where a decky is at home; of the fleet's it is the only place. */
export function homeOf({ attachments }: Pick<Decky, "attachments">): AttachmentSpec {
  return attachments[0];
}

/** Whether two deckies are the same machine in the same places. */
export function isSameMachine(one: SeenIdentity, other: SeenIdentity): boolean {
  const places = ({ attachments }: SeenIdentity) => attachments.map(({ lan, ip, mac }) => [lan.name, ip, mac]);
  return isDeepStrictEqual(one.identity, other.identity) && isDeepStrictEqual(places(one), places(other));
}

/** Whether a decky cannot become the other one while its base runs on. */
export function needsBase(one: SeenIdentity, other: SeenIdentity): boolean {
  const lasting = ({ identity, attachments }: SeenIdentity): SeenIdentity => {
    const { routes: _routes, egress: _egress, forwards: _forwards, publishOn: _publishOn, ...rest } = identity;
    return { identity: rest, attachments };
  };
  return !isSameMachine(lasting(one), lasting(other));
}

/** Something is wanted of it that was not seen yet: when nobody changes it, it is tried again. */
export function isUnapplied(decky: Pick<Decky, "leaving" | "desiredRevision" | "appliedRevision" | "renderedRevision">): boolean {
  return decky.leaving || decky.appliedRevision !== decky.desiredRevision || decky.renderedRevision === 0;
}

/** Its host has a later revision of it than the newest that is known here. */
export function isBehind({ aheadRevision, desiredRevision }: Pick<Decky, "aheadRevision" | "desiredRevision">): boolean {
  return aheadRevision > desiredRevision;
}

/** Its teardown failed: it is tried again by itself, and whoever wants it back, or gone at once, may say so. */
export function isStuckLeaving({ leaving, retryAt }: Pick<Decky, "leaving" | "retryAt">): boolean {
  return leaving && retryAt !== null;
}

/** One numbered list of a decky's services. It never changes. */
export interface NewRevision {
  readonly deckyId: string;
  readonly number: number;
  readonly services: readonly StoredService[];
  readonly actor: string;
  readonly reason: string;
  readonly operationId: string;
}

export interface Revision extends NewRevision {
  readonly createdAt: Date;
}

/** What the fleet's deckies have in common. */
export interface FleetSettings {
  readonly id: number;
  readonly lan: LanSpec;
  readonly driftPolicy: DriftPolicy;
  readonly movePolicy: MovePolicy;
  readonly updatedAt: Date;
}

/** Whether drift is repaired or only reported. */
export type DriftPolicy = "repair" | "report";

/** Whether a moved decky is removed from its old host before it is deployed on the new one, or afterwards. */
export type MovePolicy = "remove_first" | "keep_old";

/** As commands name it; where responses go out, the topology's id becomes its name. */
export function labelOf({ scope, name }: Pick<Decky, "scope" | "name">): string {
  return scope === "fleet" ? name : `${scope}/${name}`;
}
