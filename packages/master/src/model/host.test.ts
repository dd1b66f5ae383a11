import { expect, it } from "vitest";
import { ageWarnings, type HostState, hostStateOf } from "./host.ts";

const at = new Date("2026-01-01T00:00:00Z");

it.each<[name: string, decommissionedAt: Date | null, lastSeen: Date | null, isConnected: boolean, state: HostState]>([
  ["joined and was never heard of", null, null, false, "enrolled"],
  ["is connected for the first time", null, null, true, "connected"],
  ["is connected", null, at, true, "connected"],
  ["was heard of and is away", null, at, false, "unreachable"],
  ["left", at, at, false, "decommissioned"],
  ["left before it was ever heard of", at, null, false, "decommissioned"],
  ["left a moment ago, and its connection is not cut yet", at, at, true, "decommissioned"],
])("a worker that %s", (_name, decommissionedAt, lastSeen, isConnected, state) => {
  expect(hostStateOf({ decommissionedAt, lastSeen }, isConnected)).toBe(state);
});

it.each([1, 2])(
  "is said to leave its deckies open when its agent speaks protocol %i, which knows no rules of deckies",
  (protocolVersion) => {
    expect(ageWarnings({ agentInfo: { protocolVersion } })).toEqual([expect.stringMatching(/^egress_open: .*update it$/)]);
  },
);

it("is not said to be open when its agent knows them, or never said what it speaks", () => {
  expect(ageWarnings({ agentInfo: { protocolVersion: 3 } })).toEqual([]);
  expect(ageWarnings({ agentInfo: null })).toEqual([]);
});
