import { expect, it } from "vitest";
import { makeFreeMac, makeMac, parseSubnet } from "./addresses.ts";

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
  expect([...(subnet?.hosts("10.66.0.5") ?? [])]).toEqual(["10.66.0.5", "10.66.0.6"]);
  expect(subnet?.firstHost).toBe("10.66.0.1");
});

it.each([
  ["10.66.0.1", true],
  ["10.66.0.6", true],
  ["10.66.0.0", false],
  ["10.66.0.7", false],
  ["10.66.1.1", false],
  ["010.66.0.1", false],
  ["10.66.0", false],
  ["", false],
])("%s of 10.66.0.0/29: %s", (address, isHost) => expect(parseSubnet("10.66.0.0/29")?.hasHost(address)).toBe(isHost));

it.each(["10.66.0.0/16", "10.66.4.0/22", "10.66.0.8/29"])("%s is a subnet", (text) => expect(parseSubnet(text)).toBeDefined());

it.each([
  "10.66.0.1/24",
  "10.66.0.0/8",
  "10.66.0.0/30",
  "10.66.0.0",
  "10.66.0.0/",
  "::/64",
  "10.066.0.0/24",
  "10.256.0.0/16",
  "",
])("%j is none", (text) => expect(parseSubnet(text)).toBeUndefined());

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
