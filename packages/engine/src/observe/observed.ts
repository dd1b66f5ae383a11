import type { Scope } from "../spec.ts";
import type { ObservedAccess } from "./host-access.ts";
import type { ObservedLan } from "./lan.ts";

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

/** One container of ours, as the engine reported it. */
export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly role: "base" | "service";
  /** Empty for the base. */
  readonly service: string;
  readonly hash: string;
  /** Image tag that a service was made from. */
  readonly catalog: string;
  readonly status: ContainerStatus;
  readonly exitCode: number;
  /** Compose's own hash of the settings that it made the container from; undefined when it was made without compose. */
  readonly composeHash?: string | undefined;
  /** As reported, with nanoseconds. */
  readonly startedAt: string;
  readonly restartCount: number;
  /** 0 when it does not run. */
  readonly pid: number;
  /** Identity of the network namespace; undefined when it does not run. */
  readonly netns: string | undefined;
  /** Id of the container whose namespace it joined; undefined for a base. */
  readonly joined: string | undefined;
  /** Of the last end that was seen, while it runs again: the engine forgets it then. */
  readonly lastExitCode?: number | undefined;
  /** Undefined when none of its limits is used up. */
  readonly exhaustion?: Exhaustion | undefined;
}

/** A limit of a container is used up: what is in there cannot go on. */
export interface Exhaustion {
  readonly sentence: string;
  /** Since when that was seen at each observation; milliseconds since the epoch. */
  readonly since: number;
}

export interface Session {
  readonly protocol: "tcp";
  readonly port: number;
  /** `address:port` of the other side. */
  readonly peer: string;
}

/** A process that has a listening socket open. */
export interface PortHolder {
  readonly pid: number;
  /** What it calls itself: whoever is in there chose it. */
  readonly command: string;
  /** Id of the container that it runs in; empty for a process of the host. */
  readonly container: string;
}

/** A listening socket on a port that the catalog knows. */
export interface PortUse {
  /** `22/tcp` */
  readonly port: string;
  /** Bound to an address that only the decky itself reaches. */
  readonly isLocal: boolean;
  /** Undefined: no process that can be seen from here. */
  readonly holder: PortHolder | undefined;
}

/** Sockets in the decky's network namespace. */
export interface ObservedSockets {
  /** `22/tcp` */
  readonly listening: ReadonlySet<string>;
  readonly uses: readonly PortUse[];
  readonly sessions: readonly Session[];
}

export const noSockets: ObservedSockets = { listening: new Set(), uses: [], sessions: [] };

/** One decky at one moment. A container that is not listed is not there: a failed observation never becomes one of these. */
export interface ObservedDecky {
  readonly scope: Scope;
  readonly name: string;
  readonly containers: readonly ObservedContainer[];
  readonly sockets: ObservedSockets;
}

/** Compose's hashes of the containers when they were last seen as wanted, by container name. */
export type ComposeHashes = Readonly<Record<string, string>>;

export function composeHashesOf(decky: ObservedDecky): ComposeHashes {
  return Object.fromEntries(
    decky.containers.flatMap(({ name, composeHash }) => (composeHash === undefined ? [] : [[name, composeHash] as const])),
  );
}

/** What the planner needs to know of the host besides the decky. */
export interface ObservedHost {
  readonly images: ReadonlySet<string>;
  readonly networks: ReadonlySet<string>;
  /** Names that are taken by containers that are not ours. */
  readonly foreignNames: ReadonlySet<string>;
  /** Digest of the project on disk; empty when there is none. */
  readonly projectDigest: string;
  readonly lan: ObservedLan;
  /** The host's way to the decky's LAN; undefined when it needs none. */
  readonly access: ObservedAccess | undefined;
  /** What a decky that goes leaves behind on the host. */
  readonly leaves: ObservedLeavings;
}

export interface ObservedLeavings {
  /** Networks of ours that it is on, or nobody. */
  readonly networks: readonly { readonly network: string; readonly owner: string }[];
  /** The host's routes to it. */
  readonly routes: readonly { readonly to: string; readonly helper: string }[];
}

export const noLeavings: ObservedLeavings = { networks: [], routes: [] };

export function baseOf(decky: ObservedDecky): ObservedContainer | undefined {
  return decky.containers.find((container) => container.role === "base");
}
