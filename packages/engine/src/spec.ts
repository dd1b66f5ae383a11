import type { ServiceConfig } from "./catalog/types.ts";
import type { EgressRule } from "./policy/egress.ts";

/** Where a decky lives: the fleet, or one topology by its id. */
export type Scope = "fleet" | (string & {});

export type LanDriver = "bridge" | "macvlan" | "ipvlan";

/** A network that deckies attach to. `name` is the engine's network name. */
export interface LanSpec {
  readonly name: string;
  readonly driver: LanDriver;
  /** CIDR. */
  readonly subnet: string;
  readonly gateway: string;
  /** Host interface; only for macvlan and ipvlan. */
  readonly parent: string | undefined;
  /** Undefined: as the parent interface has it, or the engine's own bridge. */
  readonly mtu?: number | undefined;
  /** Cut off from the host's other networks; only for bridges. */
  readonly internal?: boolean | undefined;
}

/** A decky's place on one LAN. */
export interface AttachmentSpec {
  readonly lan: LanSpec;
  readonly ip: string;
  readonly mac: string;
}

/** The first is the decky's home. */
export type AttachmentSpecs = readonly [AttachmentSpec, ...AttachmentSpec[]];

/** A way to a network that the decky is not on: by a neighbour of its own that forwards. */
export interface RouteSpec {
  /** CIDR. */
  readonly to: string;
  readonly via: string;
}

export interface ServiceSpec {
  readonly slug: string;
  /** Coerced settings, secrets included. */
  readonly config: ServiceConfig;
}

/** Everything needed to render one decky. The identity part is fixed at deploy; service mutations change `services` alone. */
export interface DeckySpec {
  readonly scope: Scope;
  readonly name: string;
  readonly revision: number;
  readonly hostname: string;
  /** Image of the base container. */
  readonly baseImage: string;
  /** Image that service images are built from. */
  readonly buildBase: string;
  readonly osFamily: string;
  readonly attachments: AttachmentSpecs;
  /** Routes between its LANs. */
  readonly forwards: boolean;
  readonly routes?: readonly RouteSpec[] | undefined;
  /** Undefined: nothing. */
  readonly egress?: readonly EgressRule[] | undefined;
  /** An address of the host on which the ports of its services are published; undefined: none. */
  readonly publishOn?: string | undefined;
  readonly services: readonly ServiceSpec[];
}

/** What one decky should be: there as specified, or gone. */
export type DeckyTarget =
  | { readonly kind: "present"; readonly spec: DeckySpec }
  | { readonly kind: "absent"; readonly scope: Scope; readonly name: string };

export function deckyKey(decky: { readonly scope: Scope; readonly name: string }): string {
  return `${decky.scope}/${decky.name}`;
}

export function targetKey(target: DeckyTarget): string {
  return target.kind === "present" ? deckyKey(target.spec) : deckyKey(target);
}
