import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { isLive, type Topology, type TopologyState, topologyTransitions } from "../model/topology.ts";
import { requireState, type TopologyAct } from "./topologies.ts";

/** What may be done with a topology in each of its states. */
const allowed: Readonly<Record<TopologyState, readonly TopologyAct["kind"][]>> = {
  pending: ["edit", "deploy", "teardown"],
  deploying: ["teardown"],
  active: ["edit", "resync", "teardown"],
  degraded: ["edit", "resync", "teardown"],
  failed: ["teardown"],
  tearing_down: ["teardown"],
  torn_down: [],
};

const acts = ["edit", "deploy", "resync", "teardown"] as const satisfies readonly TopologyAct["kind"][];
const states = Object.keys(topologyTransitions) as TopologyState[];

describe("what may be done with a topology", () => {
  it.each(states.flatMap((state) => acts.map((kind) => [state, kind] as const)))("that is %s: %s", (state, kind) => {
    const attempt = () => requireState({ name: "corp", state } as Topology, { kind });
    if (allowed[state].includes(kind)) return expect(attempt).not.toThrow();
    const error = ((): unknown => {
      try {
        attempt();
        return undefined;
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ reason: "TOPOLOGY_STATE", metadata: { topology: "corp", state } });
  });

  it("is live in two states only: then its deckies are changed one by one", () => {
    expect(states.filter((state) => isLive({ state }))).toEqual(["active", "degraded"]);
  });
});
