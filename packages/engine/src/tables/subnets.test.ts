import { expect, it } from "vitest";
import { isMtu, overlap, parseRange, reservedUse } from "./subnets.ts";

it.each([
  ["10.0.0.0/24", "10.0.0.128/25", true],
  ["10.0.0.5/24", "10.0.0.0/16", true],
  ["10.0.1.0/24", "10.0.0.0/24", false],
  ["10.0.0.7", "10.0.0.0/29", true],
  ["10.0.0.8", "10.0.0.0/29", false],
  ["10.0.0.0/24", "fd00::/8", false],
])("%s and %s overlap: %s", (left, right, does) => {
  expect(overlap(left, right)).toBe(does);
});

it.each(["10.0.0.0/33", "10.0.0/24", "10.0.0.256", "10.0.0.0/24/1", "default", ""])("%j is no range", (text) => {
  expect(parseRange(text)).toBeUndefined();
});

it.each([
  ["127.0.0.0/16", /loopback/],
  ["127.200.9.0/24", /loopback/],
  ["0.1.0.0/16", /this machine itself/],
  ["169.254.0.0/16", /link-local/],
  ["224.0.0.0/24", /multicast/],
  ["239.255.0.0/29", /multicast/],
  ["240.0.0.0/16", /reserved/],
  ["255.255.0.0/16", /reserved/],
])("no LAN has %s", (subnet, why) => {
  expect(reservedUse(subnet)).toMatch(why);
});

it.each(["10.66.0.0/24", "192.168.0.0/16", "172.16.0.0/16", "169.253.0.0/16", "100.64.0.0/16"])("a LAN may have %s", (subnet) => {
  expect(reservedUse(subnet)).toBeUndefined();
});

it("an MTU is one that IPv4 can have, or none", () => {
  expect([undefined, 576, 1_400, 65_535, 575, 65_536].map(isMtu)).toEqual([true, true, true, true, false, false]);
});
