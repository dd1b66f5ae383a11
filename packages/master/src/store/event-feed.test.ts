import { setMaxListeners } from "node:events";
import { expect, it, vi } from "vitest";
import type { StoredEvent } from "../model/events.ts";
import { createEventFeed, isAfter } from "./event-feed.ts";

const never = new AbortController().signal;
setMaxListeners(0, never);
const eventAt = (position: number): StoredEvent => ({
  position: String(position),
  eventId: String(position),
  topic: "decky.a.state",
  key: "a",
  payload: {},
  version: 1,
  occurredAt: new Date(0),
});

function useFeed(first: number) {
  let head = first;
  const read = vi.fn(async (after: string) => {
    const from = Number(after) + 1;
    return Array.from({ length: Math.max(0, Math.min(200, head - from + 1)) }, (_, at) => eventAt(from + at));
  });
  const feed = createEventFeed({ read, head: async () => String(head) });
  const tell = async (count: number) => {
    head += count;
    feed.wake();
    await vi.waitFor(() => expect(feed.after(String(head - 1))).toHaveLength(1));
  };
  return { feed, read, tell };
}

it("reads once for all who follow, however many they are", async () => {
  const { feed, read, tell } = useFeed(7);
  const leave = Array.from({ length: 1_000 }, () => feed.join());
  await vi.waitFor(() => expect(feed.after("7")).toEqual([]));
  const before = read.mock.calls.length;
  const changed = Promise.all(Array.from({ length: 1_000 }, () => feed.changed(10_000, never)));
  await tell(1);
  await changed;
  expect(read.mock.calls.length - before).toBeLessThanOrEqual(2);
  expect(feed.after("7")?.map(({ position }) => position)).toEqual(["8"]);
  for (const each of leave) each();
});

it("keeps the newest alone: who is further behind looks back by himself", async () => {
  const { feed, tell } = useFeed(100);
  const leave = feed.join();
  await vi.waitFor(() => expect(feed.after("100")).toEqual([]));
  expect(feed.after("99")).toBeUndefined();
  await tell(1_500);
  expect(feed.after("100")).toBeUndefined();
  expect(feed.after("600")?.[0]?.position).toBe("601");
  expect(feed.after("1600")).toEqual([]);
  leave();
});

it("tells everybody what reading threw, and begins again with the next", async () => {
  const { feed, read, tell } = useFeed(1);
  const leave = feed.join();
  await vi.waitFor(() => expect(feed.after("1")).toEqual([]));
  read.mockRejectedValueOnce(new Error("away"));
  const changed = feed.changed(10_000, never);
  feed.wake();
  await changed;
  expect(() => feed.after("1")).toThrow("away");
  leave();
  const again = feed.join();
  await vi.waitFor(() => expect(feed.after("1")).toEqual([]));
  await tell(1);
  again();
});

it("positions are whole numbers of any length", () => {
  expect([isAfter("10", "9"), isAfter("9", "10"), isAfter("9", "9"), isAfter("123456789012345678", "99999999999999999")]).toEqual(
    [true, false, false, true],
  );
});
