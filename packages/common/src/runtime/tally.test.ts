import { expect, it, vi } from "vitest";
import { createTally, sourceOf } from "./tally.ts";

interface Entry {
  readonly from: string;
}

function createKept(options: { free?: number; mostSources?: number } = {}) {
  const stored: { from: string; times: number }[] = [];
  const tally = createTally<Entry>({
    store: async ({ from }) => String(stored.push({ from, times: 1 }) - 1),
    add: async (id, times) => {
      const row = stored[Number(id)];
      if (row !== undefined) row.times += times;
    },
    pooled: () => ({ from: "others" }),
    windowMs: 60_000,
    mostSources: options.mostSources ?? 10,
    free: options.free ?? 0,
  });
  return { stored, tally };
}

it("stores the first of a kind and counts the others", async () => {
  const { stored, tally } = createKept();
  for (let at = 0; at < 1_000; at += 1) await tally.note("a", at % 2 === 0 ? "even" : "odd", { from: "a" });
  expect(stored).toEqual([
    { from: "a", times: 1 },
    { from: "a", times: 1 },
  ]);
  await tally.flush();
  expect(stored.map(({ times }) => times)).toEqual([500, 500]);
});

it("tells only so many sources apart, and counts all others together", async () => {
  const { stored, tally } = createKept({ mostSources: 3 });
  for (let at = 0; at < 1_000; at += 1) await tally.note(`source ${at}`, "kind", { from: `source ${at}` });
  await tally.flush();
  expect(stored).toEqual([
    { from: "source 0", times: 1 },
    { from: "source 1", times: 1 },
    { from: "source 2", times: 1 },
    { from: "others", times: 997 },
  ]);
});

it("stores one by one what a source may have free", async () => {
  const { stored, tally } = createKept({ free: 5 });
  for (let at = 0; at < 20; at += 1) await tally.note("a", "kind", { from: "a" });
  await tally.flush();
  expect(stored.map(({ times }) => times)).toEqual([1, 1, 1, 1, 16]);
});

it("begins again with the next window, and loses no count between them", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  try {
    const { stored, tally } = createKept();
    for (let at = 0; at < 3; at += 1) await tally.note("a", "kind", { from: "a" });
    vi.setSystemTime(Date.now() + 61_000);
    for (let at = 0; at < 4; at += 1) await tally.note("a", "kind", { from: "a" });
    await tally.flush();
    expect(stored.map(({ times }) => times)).toEqual([3, 4]);
  } finally {
    vi.useRealTimers();
  }
});

it("an IPv6 machine is one source, whatever it makes of its network", () => {
  expect(sourceOf("10.0.0.7")).toBe("10.0.0.7");
  expect(new Set(["2001:db8::1", "2001:db8::2", "2001:db8:0:0:1:2:3:4"].map(sourceOf))).toEqual(new Set(["2001:db8:0:0::/64"]));
  expect(sourceOf("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
  expect(sourceOf("::1")).toBe("0:0:0:0::/64");
});
