import { expect, it } from "vitest";
import { createPlacer, type PlaceableHost, type Placement } from "./placement.ts";

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

const place = (placement: Placement, current: string | undefined, among: readonly PlaceableHost[], counts: Map<string, number>) =>
  createPlacer(among, counts).place(placement, current);

it("a balanced decky goes to the worker with the fewest, never to the master's own host or one that drains", () => {
  expect(place({ kind: "balanced" }, undefined, hosts, new Map([["edge-1", 2]]))).toBe("edge-2");
  expect(place({ kind: "balanced" }, undefined, hosts, new Map())).toBe("edge-1");
});

it("a decky stays where it is when that fits, also while the host is away", () => {
  const away = hosts.map((each) => (each.name === "edge-2" ? { ...each, isReachable: false } : each));
  expect(place({ kind: "balanced" }, "edge-2", away, new Map([["edge-2", 9]]))).toBe("edge-2");
  expect(place({ kind: "balanced" }, "edge-3", hosts, new Map([["edge-1", 2]]))).toBe("edge-2");
});

it("labels must all fit", () => {
  expect(place({ kind: "labels", labels: { zone: "a" } }, undefined, hosts, new Map([["edge-1", 9]]))).toBe("edge-1");
  expect(() => place({ kind: "labels", labels: { zone: "b" } }, undefined, hosts, new Map())).toThrow("zone=b");
});

it("a named host must be there, and take deckies unless the decky is there already", () => {
  expect(place({ kind: "host", name: "local" }, "edge-1", hosts, new Map())).toBe("local");
  expect(() => place({ kind: "host", name: "edge-9" }, undefined, hosts, new Map())).toThrow("no host");
  expect(() => place({ kind: "host", name: "edge-3" }, undefined, hosts, new Map())).toThrow("no new deckies");
  expect(place({ kind: "host", name: "edge-3" }, "edge-3", hosts, new Map())).toBe("edge-3");
});

it("each decky that comes to a host counts there for the next, whatever that one wishes", () => {
  const zoned = [...hosts, host("edge-4", { labels: { zone: "a" } })];
  const placer = createPlacer(zoned, new Map([["edge-4", 2]]));
  const [zone, any]: Placement[] = [{ kind: "labels", labels: { zone: "a" } }, { kind: "balanced" }];
  const wishes = [any, zone, zone, any, any, { kind: "host", name: "edge-4" }, zone, zone] as Placement[];
  expect(wishes.map((wish) => placer.place(wish, undefined))).toEqual([
    "edge-1",
    "edge-1",
    "edge-1",
    "edge-2",
    "edge-2",
    "edge-4",
    "edge-1",
    "edge-4",
  ]);
});

it("a decky that stays does not count again", () => {
  const placer = createPlacer(
    hosts,
    new Map([
      ["edge-1", 1],
      ["edge-2", 1],
    ]),
  );
  expect(["edge-1", "edge-2", undefined, undefined, undefined].map((at) => placer.place({ kind: "balanced" }, at))).toEqual([
    "edge-1",
    "edge-2",
    "edge-1",
    "edge-2",
    "edge-1",
  ]);
});

it("thousands are spread evenly over a thousand hosts", () => {
  const many = Array.from({ length: 1_000 }, (_, at) =>
    host(`edge-${String(at).padStart(4, "0")}`, { labels: { half: `${at % 2}` } }),
  );
  const placer = createPlacer(many, new Map());
  const counts = new Map<string, number>();
  for (let at = 0; at < 10_000; at += 1) {
    const chosen = placer.place(at % 4 === 0 ? { kind: "labels", labels: { half: "1" } } : { kind: "balanced" }, undefined);
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
  }
  expect(new Set(counts.values())).toEqual(new Set([10]));
});
