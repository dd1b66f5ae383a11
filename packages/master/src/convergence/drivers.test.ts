import { expect, it, onTestFinished, vi } from "vitest";
import { createDrivers } from "./drivers.ts";

const { signal } = new AbortController();

it("never works twice on one key at a time, and works once more for wake-ups that came meanwhile", async () => {
  const log: string[] = [];
  let atWork = 0;
  let open: () => void = () => undefined;
  const drivers = createDrivers(async (key) => {
    atWork += 1;
    expect(atWork).toBe(1);
    log.push(key);
    await new Promise<void>((resolve) => {
      open = resolve;
    });
    atWork -= 1;
    return false;
  }, signal);
  drivers.wake("a");
  drivers.wake("a");
  drivers.wake("a");
  expect(drivers.isBusy("a")).toBe(true);
  open();
  await new Promise(setImmediate);
  open();
  await drivers.idle();
  expect(log).toEqual(["a", "a"]);
  expect(drivers.isBusy("a")).toBe(false);
});

it("goes on as long as there may be more to do", async () => {
  let left = 3;
  const drivers = createDrivers(async () => {
    left -= 1;
    return left > 0;
  }, signal);
  drivers.wake("a");
  await drivers.idle();
  expect(left).toBe(0);
});

it("works on different keys side by side", async () => {
  const started: string[] = [];
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const drivers = createDrivers(async (key) => {
    started.push(key);
    await opened;
    return false;
  }, signal);
  drivers.wake("a");
  drivers.wake("b");
  expect(started).toEqual(["a", "b"]);
  open();
  await drivers.idle();
});

it("begins nothing after it was told to stop", () => {
  const stopping = new AbortController();
  const started: string[] = [];
  const drivers = createDrivers(async (key) => {
    started.push(key);
    return false;
  }, stopping.signal);
  stopping.abort();
  drivers.wake("a");
  expect(started).toEqual([]);
});

it("wakes a key later, once, at the earliest time that was asked for", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const woken: number[] = [];
  const drivers = createDrivers(async () => woken.push(Date.now()) === 0, signal);
  const from = Date.now();
  for (const delayMs of [300, 100, 200]) drivers.wakeLater("a", delayMs);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(woken.map((at) => at - from)).toEqual([100]);
  drivers.wakeLater("a", 50);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(woken).toHaveLength(2);
});
