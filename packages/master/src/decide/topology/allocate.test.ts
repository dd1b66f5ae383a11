import { expect, it } from "vitest";
import { freeSubnets, heldThere, nextSubnet, refuseTaken } from "./allocate.ts";
import { wantedSubnet } from "./edit.ts";

const taken = (subnet: string, network = "") => ({ subnet, holder: `the Docker network ${network}`, network });

it.each([
  ["nothing is taken", [], "10.0.0.0/24"],
  ["the first is", ["10.0.0.0/24"], "10.0.1.0/24"],
  ["a part of it is", ["10.0.0.64/26"], "10.0.1.0/24"],
  ["one address of it is, as an interface says it", ["10.0.0.7/24"], "10.0.1.0/24"],
  ["a larger one is", ["10.0.0.0/15"], "10.2.0.0/24"],
  ["something is that is no IPv4 network", ["fd00::/64", "unreachable", ""], "10.0.0.0/24"],
])("the next network when %s", (_, used, expected) => {
  expect(nextSubnet("10.0.0.0/8", used)).toBe(expected);
});

it("there is none when a route takes all of them", () => {
  expect([...freeSubnets("10.0.0.0/8", ["0.0.0.0/1"])]).toEqual([]);
});

it("a topology's own networks are not taken from it, and those of others are", () => {
  const there = [taken("10.0.0.0/24", "decnet-t1-dmz"), taken("10.0.1.0/24", "decnet-t2-dmz"), taken("10.0.2.0/24")];
  expect(heldThere(there, "t1").map(({ subnet }) => subnet)).toEqual(["10.0.1.0/24", "10.0.2.0/24"]);
  expect(heldThere(there, "").map(({ subnet }) => subnet)).toEqual(["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
});

it.each([
  ["a new LAN", { kind: "add_lan", name: "core", subnet: "10.0.0.128/25", isDmz: false }],
  ["a LAN", { kind: "update_lan", name: "core", newName: undefined, subnet: "10.0.0.0/16", isDmz: undefined }],
] as const)("%s gets no network that somebody has, who is named", (_, edit) => {
  expect(() => refuseTaken(wantedSubnet(edit), [taken("10.0.0.0/24", "web")])).toThrow(
    `${edit.subnet} overlaps 10.0.0.0/24 of the Docker network web`,
  );
  refuseTaken(wantedSubnet(edit), [taken("10.7.0.0/24", "web")]);
});

it("one that is chosen for the caller is not compared, nor is any other edit", () => {
  refuseTaken(wantedSubnet({ kind: "add_lan", name: "core", subnet: "", isDmz: false }), [taken("10.0.0.0/8")]);
  refuseTaken(wantedSubnet({ kind: "remove_lan", name: "core" }), [taken("10.0.0.0/8")]);
});
