import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { patience } from "./patience.ts";

describe("patience", () => {
  const isOver = async (waiting: Promise<void>) => Promise.race([waiting.then(() => true), delay(1, false)]);

  it("ends after its time", async () => {
    const begun = performance.now();
    await patience(600);
    expect(performance.now() - begun).toBeGreaterThan(590);
  });

  it("does not count the time in which this process could hear nothing", async () => {
    const waiting = patience(600);
    const begun = performance.now();
    while (performance.now() - begun < 700);
    expect(await isOver(waiting)).toBe(false);
    await waiting;
  });

  it("ends at once when nobody waits any more", async () => {
    const stopped = new AbortController();
    const waiting = patience(3_600_000, stopped.signal);
    stopped.abort();
    await waiting;
    await patience(3_600_000, AbortSignal.abort());
  });
});
