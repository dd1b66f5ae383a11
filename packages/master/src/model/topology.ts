import type { EgressRule } from "@decnet/engine/policy/egress";
import type { StoredService } from "./decky.ts";
import type { RotationSetting } from "./rotation.ts";

/** A LAN of a topology: one bridge on its host, cut off from everything else unless it is the DMZ. */
export interface TopologyLan {
  /** Unique in its topology. */
  readonly name: string;
  /** CIDR. */
  readonly subnet: string;
  readonly isDmz: boolean;
}

/** A decky's place on one LAN; allocated once and kept. */
export interface TopologyAttachment {
  readonly lan: string;
  readonly ip: string;
  readonly mac: string;
}

/** A decky of a topology as it is wanted. Of one that is deployed, the services of its newest revision count. */
export interface TopologyDecky {
  readonly id: string;
  /** Unique in its topology. */
  readonly name: string;
  readonly archetype: string;
  readonly services: readonly StoredService[];
  /** The first is its home. */
  readonly attachments: readonly TopologyAttachment[];
  /** Routes between its LANs; in the DMZ it also publishes its ports on the host. */
  readonly forwards: boolean;
  /** Undefined: its services stay as they are. */
  readonly rotation?: RotationSetting | undefined;
  /** What it may call besides its neighbours; undefined: nothing. */
  readonly egress?: readonly EgressRule[];
}

/** What a topology consists of: one value, so that two editors cannot make one together that neither of them wanted. */
export interface Design {
  readonly lans: readonly TopologyLan[];
  readonly deckies: readonly TopologyDecky[];
}

export type TopologyState = "pending" | "deploying" | "active" | "degraded" | "failed" | "tearing_down" | "torn_down";

export interface Topology {
  readonly id: string;
  /** Unique. */
  readonly name: string;
  /** Where all of its deckies live. */
  readonly host: string;
  /** The address of its host on which gateways in the DMZ publish their ports; empty: they do not. */
  readonly publishOn: string;
  readonly state: TopologyState;
  /** Why it is in this state; empty when that goes without saying. */
  readonly reason: string;
  readonly stateChangedAt: Date;
  /** Rises with every change of the design. */
  readonly version: number;
  readonly design: Design;
  /** What it was generated from; null when it was drawn by hand. */
  readonly generatedFrom: GeneratorSettings | null;
  readonly createdAt: Date;
}

/** One step of a topology's life. They are only ever added. */
export interface TopologyEvent {
  readonly topologyId: string;
  readonly fromState: TopologyState;
  readonly toState: TopologyState;
  readonly at: Date;
  readonly reason: string;
}

export interface GeneratorSettings {
  /** The same seed makes the same topology. */
  readonly seed: number;
  /** Levels of LANs behind the DMZ. */
  readonly depth: number;
  /** Most LANs that one LAN leads to. */
  readonly branching: number;
  /** Exactly so many LANs, the DMZ among them; 0: as depth and branching make it. */
  readonly lans: number;
  readonly deckiesPerLan: { readonly least: number; readonly most: number };
  /** Exactly so many deckies; 0: as many as the LANs get. */
  readonly deckies: number;
  /** In [0, 1]: how likely a decky between two LANs routes between them. */
  readonly forwardProbability: number;
  /** In [0, 1]: how likely a LAN gets a second way to a LAN that is not its parent. */
  readonly crossEdgeProbability: number;
  /** CIDR that the LANs' /24 networks are taken from. */
  readonly subnetBase: string;
  /** Services of every decky; empty: drawn. */
  readonly services: readonly string[];
}

/** The legal steps of a topology; docs/states.md shows them. */
export const topologyTransitions: Readonly<Record<TopologyState, readonly TopologyState[]>> = {
  pending: ["deploying", "torn_down"],
  deploying: ["active", "failed", "degraded", "tearing_down"],
  active: ["degraded", "tearing_down"],
  degraded: ["active", "tearing_down"],
  failed: ["tearing_down"],
  tearing_down: ["torn_down", "degraded"],
  torn_down: [],
};

export function isLegalTransition(from: TopologyState, to: TopologyState): boolean {
  return topologyTransitions[from].includes(to);
}

/** Its deckies are there and can be changed one by one. */
export function isLive({ state }: Pick<Topology, "state">): boolean {
  return state === "active" || state === "degraded";
}
