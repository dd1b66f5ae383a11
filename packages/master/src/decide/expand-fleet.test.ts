import { expect, it } from "vitest";
import { makeFreeMac, makeMac, parseSubnet } from "./addresses.ts";
import { expandNames } from "./expand-fleet.ts";

it.each([
  ["web", 0, ["web"]],
  ["web", 2, ["web-01", "web-02"]],
  ["web-[08-11]", 0, ["web-08", "web-09", "web-10", "web-11"]],
  ["web-[3-1]", 0, []],
  ["web-[1-2]", 3, []],
])("%s with a count of %i", (name, count, names) => expect(expandNames(name, count)).toEqual(names));

it("a subnet hands its hosts out in order and knows its own", () => {
  const subnet = parseSubnet("10.66.0.0/29");
  expect([...(subnet?.hosts(undefined) ?? [])]).toEqual([
    "10.66.0.1",
    "10.66.0.2",
    "10.66.0.3",
    "10.66.0.4",
    "10.66.0.5",
    "10.66.0.6",
  ]);
  expect(subnet?.hasHost("10.66.0.7")).toBe(false);
  for (const bad of ["10.66.0.1/24", "10.66.0.0/8", "10.66.0.0", "::/64", "10.066.0.0/24"])
    expect(parseSubnet(bad)).toBeUndefined();
});

it("a made-up MAC address is not one of a container", () => {
  expect(makeMac(0xff_ff_ff)).toBe("00:50:56:3f:ff:ff");
});

it("no two deckies get one MAC address", () => {
  const random = [7, 7, 9].values();
  const used = new Set([makeMac(5)]);
  expect([makeFreeMac(used, () => random.next().value ?? 0), makeFreeMac(used, () => random.next().value ?? 0)]).toEqual([
    makeMac(7),
    makeMac(9),
  ]);
});
