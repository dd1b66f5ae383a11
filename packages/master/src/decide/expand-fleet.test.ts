import { atOnce } from "@decnet/common/runtime/slices";
import { expect, it } from "vitest";
import { expandFleet, expandNames, type WantedFleetInput } from "./expand-fleet.ts";

it.each([
  ["web", 0, ["web"]],
  ["web", 2, ["web-01", "web-02"]],
  ["web-[08-11]", 0, ["web-08", "web-09", "web-10", "web-11"]],
  ["web-[3-1]", 0, []],
  ["web-[1-2]", 3, []],
])("%s with a count of %i", (name, count, names) => expect(expandNames(name, count)).toEqual(names));

const fleetOn = (lan: Partial<WantedFleetInput["lan"]>): WantedFleetInput => ({
  lan: { driver: "bridge", name: "", subnet: "10.0.0.0/24", gateway: "", parent: "", ipStart: "", mtu: 0, ...lan },
  driftPolicy: "repair",
  deckies: [],
  defaultPlacement: undefined,
  movePolicy: "remove_first",
});
const expand = (lan: Partial<WantedFleetInput["lan"]>) => atOnce(expandFleet(fleetOn(lan), { services: new Map(), digest: "" }));

it.each([
  [{ subnet: "127.9.0.0/16" }, "fleet.lan.subnet: 127.9.0.0/16 overlaps 127.0.0.0/8, which is every machine's loopback"],
  [{ subnet: "224.1.0.0/16" }, "fleet.lan.subnet: 224.1.0.0/16 overlaps 224.0.0.0/4, which is for multicast"],
  [{ subnet: "0.0.0.0/16" }, "fleet.lan.subnet: 0.0.0.0/16 overlaps 0.0.0.0/8, which means this machine itself"],
  [{ subnet: "169.254.7.0/24" }, "fleet.lan.subnet: 169.254.7.0/24 overlaps 169.254.0.0/16, which is for link-local addresses"],
  [{ mtu: 100 }, "fleet.lan.mtu: must be from 576 to 65535"],
  [{ mtu: 65_536 }, "fleet.lan.mtu: must be from 576 to 65535"],
])("a LAN with %o is refused", (lan, message) => {
  expect(() => expand(lan)).toThrow(message);
});

it("a LAN has an MTU of its own only when it is given", () => {
  expect([expand({ mtu: 1_280 }).lan.mtu, expand({}).lan.mtu]).toEqual([1_280, undefined]);
});
