import type { ServiceState } from "@decnet/engine/diagnose/judge";
import type { DeckyState } from "./decky.ts";
import type { HostState } from "./host.ts";
import type { OperationPhase } from "./operation-phase.ts";
import type { TopologyState } from "./topology.ts";

/**
 * What is still to be done about a decky that nobody changes.
 * - settled: nothing, or what an operation does about it now.
 * - behind: its host has a later revision than is known here, and nobody said which of them counts.
 * - teardown_failed: it is to be gone, and is not.
 * - unapplied: what is wanted failed, or was never seen.
 * - pausing: it is not well, and was repaired so shortly ago that the next repair waits.
 * - kept: a change failed, and its caller wanted it kept.
 * - elsewhere: it runs where it is to be, and still has to be removed from where it was.
 */
export type DeckyStanding = "behind" | "settled" | "teardown_failed" | "unapplied" | "pausing" | "kept" | "elsewhere";

/** How a state is left. Only what is as wanted, and what has ended, has no exit: `good` and `end` say which. */
export type Exits =
  | { readonly kind: "good" | "end" }
  | {
      readonly kind: "exits";
      /** What the master does by itself; empty when it waits for somebody. */
      readonly itself: string;
      /** What is typed after `decnet` to leave it at once; empty when nobody has to. */
      readonly command: string;
    };

export type ExitTable<State extends string> = Readonly<Record<State, Exits>>;

const good: Exits = { kind: "good" };
const end: Exits = { kind: "end" };
const exits = (itself: string, command: string): Exits => ({ kind: "exits", itself, command });

const repaired = exits("a drift check repairs it, with pauses that grow to five minutes", "decky restore NAME REVISION");

/** What was seen of a decky. */
export const deckyExits: ExitTable<DeckyState> = {
  pending: exits("its first apply begins", "decky teardown NAME"),
  changing: exits("its apply ends", "op cancel ID"),
  running: good,
  degraded: repaired,
  detached: repaired,
  failed: repaired,
  unknown: exits("its host is asked again until it says how it is", "host decommission HOST --force"),
};

/** What is still to be done about a decky that nobody changes. */
export const standingExits: ExitTable<DeckyStanding> = {
  settled: good,
  behind: exits("with DECNET_WHEN_BEHIND it is adopted or overwritten when its host registers", "decky teardown NAME"),
  teardown_failed: exits("it is torn down again, with pauses that grow to five minutes", "decky teardown NAME"),
  unapplied: exits("it is applied again, with pauses that grow to five minutes", "decky restore NAME REVISION"),
  pausing: exits("it is repaired again at the time that it says", "decky restore NAME REVISION"),
  kept: exits("", "decky restore NAME REVISION"),
  elsewhere: exits("it is removed there, again and again, as soon as that host is back", "host decommission HOST --force"),
};

export const serviceExits: ExitTable<ServiceState | "unknown"> = {
  running: good,
  not_listening: repaired,
  port_taken: exits("the process that has its port ends, or is removed with a container too many", "service remove NAME SERVICE"),
  exhausted: exits(
    "its load ends, it is restarted after DECNET_EXHAUSTED_SECONDS, or DECNET_DISK_POLICY is done",
    "service remove NAME SERVICE",
  ),
  exited: repaired,
  restarting: repaired,
  missing: repaired,
  detached: repaired,
  outdated: repaired,
  unknown: exits("its host is asked again until it says how it is", "host decommission HOST --force"),
};

export const operationExits: ExitTable<OperationPhase> = {
  pending: exits("its apply begins, when there is a place and its host is here", "op cancel ID"),
  running: exits("its apply ends, or is made again when its host is back", "op cancel ID"),
  cancelling: exits("its apply is interrupted; one on a host that is away waits for it", "host decommission HOST --force"),
  undoing: exits("its undo is seen, or fails and the decky is tried again", "host decommission HOST --force"),
  succeeded: end,
  failed: end,
  cancelled: end,
  superseded: end,
};

/** A worker that takes no new deckies, and one that is on its way out, are so beside the state of its connection. */
export const hostExits: ExitTable<HostState | "draining" | "decommissioning"> = {
  enrolled: exits("its agent connects", "host decommission NAME --force"),
  connected: good,
  unreachable: exits("its agent tries to connect for ever", "host decommission NAME --force"),
  decommissioned: end,
  draining: exits("", "host activate NAME"),
  decommissioning: exits("it ends with its last decky, whose teardown is tried again", "host decommission NAME --force"),
};

export const topologyExits: ExitTable<TopologyState> = {
  pending: exits("", "topology deploy NAME"),
  deploying: exits("its deploy ends; on a host that is away it waits for it", "op cancel ID"),
  active: good,
  degraded: exits("its deckies are repaired, with pauses that grow to five minutes", "topology resync NAME"),
  failed: exits("", "topology delete NAME"),
  tearing_down: exits("its deckies are torn down again and again, as soon as their host is there", "topology teardown NAME"),
  torn_down: end,
};
