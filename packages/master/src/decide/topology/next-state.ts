import type { Decky } from "../../model/decky.ts";
import { isLegalTransition, type TopologyState } from "../../model/topology.ts";

/** What a topology's state follows from. */
export interface TopologyFacts {
  readonly state: TopologyState;
  readonly reason: string;
  /** Names of the deckies that are designed. */
  readonly designed: readonly string[];
  readonly deckies: readonly Pick<Decky, "name" | "state" | "message" | "leaving">[];
  /** A deploy, teardown, resync or edit of the whole has not ended. */
  readonly isBusy: boolean;
}

export interface StateNow {
  readonly state: TopologyState;
  readonly reason: string;
}

/** A reason names so many deckies one by one. */
const mostNamed = 8;

/**
 * The state that the facts make, which is the present one when nothing moved. A topology that nobody deployed, or that is torn
 * down, stays what it is. Pure.
 */
export function nextState(facts: TopologyFacts): StateNow {
  const { state, reason } = facts;
  const now = reached(facts);
  return now.state === state || isLegalTransition(state, now.state) ? now : { state, reason };
}

function reached({ state, reason, deckies, designed, isBusy }: TopologyFacts): StateNow {
  const stay: StateNow = { state, reason };
  switch (state) {
    case "pending":
    case "torn_down":
    case "failed":
      return stay;
    case "deploying": {
      if (isBusy) return stay;
      return deckies.length === 0 && designed.length > 0
        ? { state: "failed", reason: reason || "no decky could be deployed" }
        : asSeen(deckies, designed, stay);
    }
    case "active":
    case "degraded":
      return isBusy ? stay : asSeen(deckies, designed, stay);
    case "tearing_down":
      if (deckies.length === 0) return { state: "torn_down", reason: "" };
      return isBusy ? stay : { state: "degraded", reason: `still there: ${named(deckies.map(({ name }) => name))}` };
    default:
      return state satisfies never;
  }
}

/** One that is being changed is neither well nor ill. */
function asSeen(deckies: TopologyFacts["deckies"], designed: readonly string[], stay: StateNow): StateNow {
  const there = new Set(deckies.map(({ name }) => name));
  const absent = designed.filter((name) => !there.has(name)).map((name) => `${name}: absent`);
  const ill = deckies
    .filter(({ state }) => state !== "running" && state !== "changing" && state !== "pending")
    .map(({ name, state, message }) => `${name}: ${state}${message === "" ? "" : `, ${message}`}`);
  if (absent.length + ill.length > 0) return { state: "degraded", reason: named([...absent, ...ill], "; ") };
  const isMoving = deckies.some(({ state }) => state !== "running");
  return isMoving && stay.state !== "deploying" ? stay : { state: "active", reason: "" };
}

function named(all: readonly string[], separator = ", "): string {
  const more = all.length > mostNamed ? [`and ${all.length - mostNamed} more`] : [];
  return [...all.slice(0, mostNamed), ...more].join(separator);
}
