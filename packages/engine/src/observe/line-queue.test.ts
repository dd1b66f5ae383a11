import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLineQueue } from "./line-queue.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount(), "timers that are left behind").toBe(0);
  vi.useRealTimers();
});

function useQueue(isFollowing: boolean) {
  const source = { pause: vi.fn(), resume: vi.fn() };
  const queue = createLineQueue<string>({
    sizeOf: (line) => line.length,
    source,
    dropped: isFollowing ? (count, last) => `… ${count} lines dropped up to ${last}` : undefined,
  });
  const takeAll = () => {
    const taken: string[] = [];
    while (!queue.isEmpty) taken.push(queue.take() ?? "");
    return taken;
  };
  return { source, queue, takeAll };
}

it("passes lines on in order", () => {
  const { queue, takeAll, source } = useQueue(true);
  for (const line of ["a", "b", "c"]) queue.push(line);
  expect(takeAll()).toEqual(["a", "b", "c"]);
  expect(source.pause).not.toHaveBeenCalled();
});

it("pauses its source when it is full, and lets it go on when half of it is taken", () => {
  const { queue, source } = useQueue(true);
  for (let at = 0; at < 1_000; at += 1) queue.push(`line ${at}`);
  expect(source.pause).toHaveBeenCalledOnce();
  for (let at = 0; at < 500; at += 1) queue.take();
  expect(source.resume).not.toHaveBeenCalled();
  queue.take();
  expect(source.resume).toHaveBeenCalledOnce();
});

it("counts bytes as well as lines", () => {
  const { queue, source } = useQueue(false);
  queue.push("x".repeat(1 << 20));
  expect(source.pause).toHaveBeenCalledOnce();
  queue.take();
  expect(source.resume).toHaveBeenCalledOnce();
});

it("drops the oldest lines of a reader who takes none for a while, and says how many", () => {
  const { queue, source, takeAll } = useQueue(true);
  for (let at = 0; at < 1_000; at += 1) queue.push(`line ${at}`);
  vi.advanceTimersByTime(2_000);
  expect(source.resume).toHaveBeenCalledOnce();
  for (let at = 1_000; at < 50_000; at += 1) queue.push(`line ${at}`);
  const taken = takeAll();
  expect(taken.length).toBe(1_000);
  expect(taken.slice(0, 2)).toEqual(["… 49001 lines dropped up to line 49000", "line 49001"]);
  expect(taken.at(-1)).toBe("line 49999");
  queue.push("one more");
  expect(takeAll()).toEqual(["one more"]);
});

it("drops nothing of a log that only waits to be read", () => {
  const { queue, source, takeAll } = useQueue(false);
  for (let at = 0; at < 1_500; at += 1) queue.push(`line ${at}`);
  vi.advanceTimersByTime(60_000);
  expect(source.resume).not.toHaveBeenCalled();
  expect(takeAll()).toHaveLength(1_500);
  expect(source.resume).toHaveBeenCalledOnce();
});
