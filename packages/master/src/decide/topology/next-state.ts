import type { Decky } from "../../model/decky.ts";
import { isLegalTransition, type TopologyState } from "../../model/topology.ts";

/** What a topology's state follows from. */
export interface TopologyFacts {
  readonly state: TopologyState;
  readonly reason: string;
  /** Names of the deckies that are designed. */
  readonly designed: readonly string[];
  readonly deckies: readonly SeenDecky[];
  /** Why deckies that are designed are not there, by name. */
  readonly lost: ReadonlyMap<string, string>;
  /** A deploy, teardown, resync or edit of the whole has not ended, or a teardown of a decky. */
  readonly isBusy: boolean;
}

/** One decky of a topology, as far as the topology's state depends on it. */
export interface SeenDecky extends Pick<Decky, "name" | "state" | "message" | "leaving"> {
  /** Its containers that do not run as they should. */
  readonly ill: readonly string[];
}

export interface StateNow {
  readonly state: TopologyState;
  readonly reason: string;
}

/** A reason names so many deckies one by one. */
const mostNamed = 8;
const mostOfCause = 300;

/**
 * The state that the facts make, which is the present one when nothing moved. A topology that nobody deployed, or that is torn
 * down, stays what it is. Pure.
 */
export function nextState(facts: TopologyFacts): StateNow {
  const { state, reason } = facts;
  const now = reached(facts);
  return now.state === state || isLegalTransition(state, now.state) ? now : { state, reason };
}

function reached({ state, reason, deckies, designed, lost, isBusy }: TopologyFacts): StateNow {
  const stay: StateNow = { state, reason };
  switch (state) {
    case "pending":
    case "torn_down":
    case "failed":
      return stay;
    case "deploying": {
      if (isBusy) return stay;
      if (deckies.length === 0 && designed.length > 0) return { state: "failed", reason: reason || "no decky could be deployed" };
      // What was made of those that failed, or were cancelled, is still being removed.
      return deckies.length > 0 && deckies.every(({ leaving }) => leaving) ? stay : asSeen(deckies, { designed, lost }, stay);
    }
    case "active":
    case "degraded":
      return isBusy ? stay : asSeen(deckies, { designed, lost }, stay);
    case "tearing_down":
      if (deckies.length === 0) return { state: "torn_down", reason: "" };
      return isBusy ? stay : { state: "degraded", reason: `still there: ${named(deckies.map(({ name }) => name))}` };
    default:
      return state satisfies never;
  }
}

/** One that is being changed is neither well nor ill. */
function asSeen(
  deckies: TopologyFacts["deckies"],
  { designed, lost }: Pick<TopologyFacts, "designed" | "lost">,
  stay: StateNow,
): StateNow {
  const there = new Set(deckies.map(({ name }) => name));
  const absent = designed.filter((name) => !there.has(name)).map((name) => `${name}: absent${because(lost.get(name))}`);
  const ill = deckies.filter(({ state }) => state !== "running" && state !== "changing" && state !== "pending").map(illness);
  if (absent.length + ill.length > 0) return { state: "degraded", reason: named([...absent, ...ill], "; ") };
  const isMoving = deckies.some(({ state }) => state !== "running");
  return isMoving && stay.state !== "deploying" ? stay : { state: "active", reason: "" };
}

/** Which decky, what is wrong with it, and in which containers. */
function illness({ name, state, message, ill }: SeenDecky): string {
  const where = ill.length === 0 ? "" : ` (container ${named(ill)})`;
  return `${name}: ${state}${because(message)}${where}`;
}

function because(why = ""): string {
  return why === "" ? "" : `, ${why.length > mostOfCause ? `${why.slice(0, mostOfCause)}…` : why}`;
}

function named(all: readonly string[], separator = ", "): string {
  const more = all.length > mostNamed ? [`and ${all.length - mostNamed} more`] : [];
  return [...all.slice(0, mostNamed), ...more].join(separator);
}
