import { expect, it } from "vitest";
import { type PlaceableHost, placeDecky } from "./placement.ts";

const host = (name: string, more: Partial<PlaceableHost> = {}): PlaceableHost => ({
  name,
  labels: {},
  draining: false,
  isReachable: true,
  ...more,
});
const hosts = [
  host("local", { isMasters: true }),
  host("edge-1", { labels: { zone: "a" } }),
  host("edge-2"),
  host("edge-3", { draining: true }),
];

it("a balanced decky goes to the worker with the fewest, never to the master's own host or one that drains", () => {
  expect(placeDecky({ kind: "balanced" }, undefined, hosts, new Map([["edge-1", 2]]))).toBe("edge-2");
  expect(placeDecky({ kind: "balanced" }, undefined, hosts, new Map())).toBe("edge-1");
});

it("a decky stays where it is when that fits, also while the host is away", () => {
  const away = hosts.map((each) => (each.name === "edge-2" ? { ...each, isReachable: false } : each));
  expect(placeDecky({ kind: "balanced" }, "edge-2", away, new Map([["edge-2", 9]]))).toBe("edge-2");
  expect(placeDecky({ kind: "balanced" }, "edge-3", hosts, new Map([["edge-1", 2]]))).toBe("edge-2");
});

it("labels must all fit", () => {
  expect(placeDecky({ kind: "labels", labels: { zone: "a" } }, undefined, hosts, new Map([["edge-1", 9]]))).toBe("edge-1");
  expect(() => placeDecky({ kind: "labels", labels: { zone: "b" } }, undefined, hosts, new Map())).toThrow("zone=b");
});

it("a named host must be there, and take deckies unless the decky is there already", () => {
  expect(placeDecky({ kind: "host", name: "local" }, "edge-1", hosts, new Map())).toBe("local");
  expect(() => placeDecky({ kind: "host", name: "edge-9" }, undefined, hosts, new Map())).toThrow("no host");
  expect(() => placeDecky({ kind: "host", name: "edge-3" }, undefined, hosts, new Map())).toThrow("no new deckies");
  expect(placeDecky({ kind: "host", name: "edge-3" }, "edge-3", hosts, new Map())).toBe("edge-3");
});
