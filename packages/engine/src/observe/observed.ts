import type { ObservedAdmissions } from "../policy/admission.ts";
import type { Containments } from "../policy/containment.ts";
import type { ObservedGuard } from "../policy/guard.ts";
import type { ObservedPublications } from "../policy/publication.ts";
import { deckyNames } from "../render/names.ts";
import type { LanSpec, Scope } from "../spec.ts";
import type { ObservedAccess } from "./host-access.ts";
import type { ObservedLan } from "./lan.ts";
import type { Traits } from "./traits.ts";

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

/** A container's place on one network. What only a running container has is empty otherwise. */
export interface Attachment {
  readonly network: string;
  /** The engine's id: a network that was made again has another one. */
  readonly networkId: string;
  /** The address that it was made with. */
  readonly pinned: string;
  readonly address: string;
  readonly mac: string;
}

/** Where a container writes to the host's disk. */
export interface WritablePlace {
  readonly kind: "layer" | "volume";
  /** Of a volume. */
  readonly name: string;
  /** On the host. */
  readonly folder: string;
}

/** So many files are as much trouble as too many bytes: nobody counts further. */
export const mostFiles = 20_000;

export interface PlaceUse extends WritablePlace {
  readonly bytes: number;
  readonly files: number;
}

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
  /** Project and service that compose knows it by, `decnet-web/web-ssh`; empty when it was made without compose. */
  readonly composedAs: string;
  /** What it is. */
  readonly traits: Traits;
  /** Of a service, which has its base's network, there are none. */
  readonly attachments: readonly Attachment[];
  /** As reported, with nanoseconds. */
  readonly startedAt: string;
  readonly restartCount: number;
  /** When its last life ended; only while it is being restarted. */
  readonly endedAt?: string | undefined;
  /** 0 when it does not run. */
  readonly pid: number;
  /** Identity of the network namespace; undefined when it does not run. */
  readonly netns: string | undefined;
  /** Id of the container whose namespace it joined; undefined for a base. */
  readonly joined: string | undefined;
  /** Of the last end that was seen, while it runs again: the engine forgets it then. */
  readonly lastExitCode?: number | undefined;
  readonly writable?: readonly WritablePlace[];
  /** Undefined: not measured. */
  readonly disk?: readonly PlaceUse[] | undefined;
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

/** One interface of a network namespace, as the kernel has it: the engine only knows what it once set. */
export interface ObservedInterface {
  readonly name: string;
  readonly mac: string;
  readonly isUp: boolean;
}

export interface ObservedInterfaces {
  /** Without the loopback. */
  readonly interfaces: readonly ObservedInterface[];
  /** Every IPv4 address of the namespace. */
  readonly addresses: ReadonlySet<string>;
}

/** One decky at one moment. A container that is not listed is not there: a failed observation never becomes one of these. */
export interface ObservedDecky {
  readonly scope: Scope;
  readonly name: string;
  readonly containers: readonly ObservedContainer[];
  readonly sockets: ObservedSockets;
  /** What the base has, as the kernel tells it; undefined: not known. */
  readonly interfaces?: ObservedInterfaces | undefined;
}

/** A decky's project on disk, compared with the files that it should consist of. */
export interface ObservedProject {
  readonly isThere: boolean;
  /** What differs, one path each: edited, gone, with other rights, or not ours. */
  readonly differing: readonly string[];
}

export const noProject: ObservedProject = { isThere: false, differing: [] };

export interface ObservedNetwork {
  readonly id: string;
  /** CIDR; empty when the engine does not say. */
  readonly subnet: string;
}

/** A container that has a name. */
export interface NameHolder {
  readonly id: string;
  readonly isOurs: boolean;
}

/** What the planner needs to know of the host besides the decky. */
export interface ObservedHost {
  /** Those that are there as they were built. */
  readonly images: ReadonlySet<string>;
  /** Tags of ours that somebody gave to other images. */
  readonly foreignImages?: ReadonlySet<string>;
  /** By name; undefined: not known, and taken to be there. */
  readonly networks: ReadonlyMap<string, ObservedNetwork> | undefined;
  /** Who has the names that the decky's containers are to have. */
  readonly nameHolders: ReadonlyMap<string, NameHolder>;
  readonly project: ObservedProject;
  /** Each LAN of the decky, by name; one that is not in it was not looked at. */
  readonly lans: ReadonlyMap<string, ObservedLan>;
  /** The host's way to the decky's LAN; undefined when it needs none. */
  readonly access: ObservedAccess | undefined;
  /** Whether the decky reaches the host's own ports, by each of its LANs. */
  readonly containments: Containments;
  /** Ports that are published on the host; undefined for a decky that has nothing to do with that. */
  readonly published?: ObservedPublications | undefined;
  /** Whether the decky is kept to itself; undefined where nobody looked, or it is not meant to be. */
  readonly guard?: ObservedGuard | undefined;
  /** Whether its LANs take what is routed there; undefined for a decky that has nothing to do with that. */
  readonly admissions?: ObservedAdmissions | undefined;
  /** What a decky leaves behind on the host, when it goes, or when its base is made again elsewhere. */
  readonly leaves: ObservedLeavings;
}

export interface LeftNetwork {
  readonly network: string;
  /** Of the host's helper on it; empty on a bridge. */
  readonly owner: string;
  readonly isAdopted?: boolean;
  /** The base of a decky that stays is not on it any more. */
  readonly isLeft?: boolean;
}

export interface ObservedLeavings {
  /** Networks of ours that it is on, or nobody; of a decky that stays, those that it is on, or was, and should not be. */
  readonly networks: readonly LeftNetwork[];
  /** The host's routes to it. */
  readonly routes: readonly { readonly to: string; readonly helper: string }[];
}

export const noLeavings: ObservedLeavings = { networks: [], routes: [] };

/** Somebody may have made a copy under the same labels: the one with the right name counts, and the others are too many. */
export function baseOf({ scope, name, containers }: ObservedDecky): ObservedContainer | undefined {
  const bases = containers.filter((container) => container.role === "base");
  return containerCalled(deckyNames(scope, name).base, bases);
}

/** Of the network that the decky's base is on; undefined when it is on none of that name. */
export function networkIdOf(decky: ObservedDecky, { name }: Pick<LanSpec, "name">): string | undefined {
  return baseOf(decky)?.attachments.find(({ network }) => network === name)?.networkId;
}

export function containerCalled(name: string, candidates: readonly ObservedContainer[]): ObservedContainer | undefined {
  return candidates.find((container) => container.name === name) ?? candidates[0];
}
