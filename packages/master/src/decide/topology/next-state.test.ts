import { describe, expect, it } from "vitest";
import { isLegalTransition, type TopologyState, topologyTransitions } from "../../model/topology.ts";
import { nextState, type TopologyFacts } from "./next-state.ts";

type DeckyFacts = TopologyFacts["deckies"][number];

const decky = (name: string, state: DeckyFacts["state"] = "running", message = ""): DeckyFacts => ({
  name,
  state,
  message,
  leaving: false,
  ill: [],
});
const leaving = (name: string): DeckyFacts => ({ ...decky(name, "changing"), leaving: true });
const facts = (state: TopologyState, deckies: readonly DeckyFacts[], more: Partial<TopologyFacts> = {}): TopologyFacts => ({
  state,
  reason: "",
  designed: ["a", "b"],
  deckies,
  lost: new Map(),
  isBusy: false,
  ...more,
});
const both = [decky("a"), decky("b")];

const cases: readonly (readonly [what: string, facts: TopologyFacts, state: TopologyState, reason: string])[] = [
  ["a pending one stays so", facts("pending", []), "pending", ""],
  ["a deploy that goes on is still deploying", facts("deploying", both, { isBusy: true }), "deploying", ""],
  ["a deploy of which everything runs is active", facts("deploying", both), "active", ""],
  ["a deploy of which nothing is left has failed", facts("deploying", [], { reason: "no image" }), "failed", "no image"],
  ["a deploy of which one is missing is degraded", facts("deploying", [decky("a")]), "degraded", "b: absent"],
  [
    "one of which a decky does not run is degraded, with why",
    facts("active", [decky("a"), decky("b", "degraded", "ssh exited with code 1")]),
    "degraded",
    "b: degraded, ssh exited with code 1",
  ],
  [
    "one of which a decky does not run is degraded, with its containers",
    facts("active", [decky("a"), { ...decky("b", "degraded", "ssh: exited with code 1"), ill: ["t1-b-ssh"] }]),
    "degraded",
    "b: degraded, ssh: exited with code 1 (container t1-b-ssh)",
  ],
  [
    "a deploy of which one failed is degraded, with why it failed",
    facts("deploying", [decky("a")], { lost: new Map([["b", "its deploy failed: no image"]]) }),
    "degraded",
    "b: absent, its deploy failed: no image",
  ],
  [
    "a deploy that was cancelled goes on until what was made is gone",
    facts("deploying", [leaving("a"), leaving("b")], { reason: "cancelled by maria" }),
    "deploying",
    "cancelled by maria",
  ],
  [
    "a deploy that was cancelled in part is degraded",
    facts("deploying", [decky("a")], { lost: new Map([["b", "its deploy was cancelled by maria"]]) }),
    "degraded",
    "b: absent, its deploy was cancelled by maria",
  ],
  ["one whose host is away is degraded", facts("active", [decky("a"), decky("b", "unknown")]), "degraded", "b: unknown"],
  ["one that is being changed stays what it was", facts("active", [decky("a"), decky("b", "changing")]), "active", ""],
  [
    "a degraded one that is being mended stays so",
    facts("degraded", [decky("a"), decky("b", "changing")], { reason: "b: failed" }),
    "degraded",
    "b: failed",
  ],
  ["a degraded one of which everything runs again is active", facts("degraded", both, { reason: "b: failed" }), "active", ""],
  ["a teardown that goes on is still tearing down", facts("tearing_down", both, { isBusy: true }), "tearing_down", ""],
  ["a teardown after which nothing is there is torn down", facts("tearing_down", []), "torn_down", ""],
  ["a teardown that left something is degraded", facts("tearing_down", [decky("b")]), "degraded", "still there: b"],
  ["a failed one stays so", facts("failed", both), "failed", ""],
];

describe("a topology's state", () => {
  it.each(cases)("%s", (_, given, state, reason) => expect(nextState(given)).toEqual({ state, reason }));

  it("names eight deckies at most", () => {
    const many = Array.from({ length: 20 }, (_, at) => decky(`d${at}`, "failed"));
    const { reason } = nextState(facts("active", many, { designed: many.map(({ name }) => name) }));
    expect(reason).toMatch(/^d0: failed; .*d7: failed; and 12 more$/);
  });

  const states = Object.keys(topologyTransitions) as TopologyState[];
  const legal = [
    "pending>deploying",
    "pending>torn_down",
    "deploying>active",
    "deploying>failed",
    "deploying>degraded",
    "deploying>tearing_down",
    "active>degraded",
    "active>tearing_down",
    "degraded>active",
    "degraded>tearing_down",
    "failed>tearing_down",
    "tearing_down>torn_down",
    "tearing_down>degraded",
  ];
  it("takes every legal step, by itself or because somebody deploys it or tears it down", () => {
    const bySelf = cases.flatMap(([, { state: from }, to]) => (from === to ? [] : [`${from}>${to}`]));
    const byOthers = [
      "pending>deploying",
      "pending>torn_down",
      ...["deploying", "active", "degraded", "failed"].map((from) => `${from}>tearing_down`),
    ];
    expect(new Set([...bySelf, ...byOthers])).toEqual(new Set(legal));
  });

  it.each(states.flatMap((from) => states.map((to) => [from, to] as const)))(
    "%s → %s is legal only as it is listed",
    (from, to) => {
      expect(isLegalTransition(from, to)).toBe(legal.includes(`${from}>${to}`));
    },
  );
});
