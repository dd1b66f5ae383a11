import { describe, expect, it } from "vitest";
import { afterDelivery, afterFailure, type WebhookProgress } from "./webhook.ts";

const policy = { giveUpMs: 60_000, baseMs: 1_000, maxMs: 8_000 };
const start = new Date("2026-01-01T00:00:00Z");
const fresh: WebhookProgress = {
  isActive: true,
  message: "",
  position: "7",
  failures: 0,
  failingSince: null,
  nextAttemptAt: null,
  lastDeliveryAt: null,
};
const failed = { kind: "failed", status: 500, message: "it answered 500", isFinal: false } as const;
const at = (ms: number) => new Date(start.getTime() + ms);
const fail = (before: WebhookProgress, ms: number) => afterFailure(before, failed, { policy, now: at(ms), random: () => 1 });
const pauseAfter = (progress: WebhookProgress, ms: number) => (progress.nextAttemptAt?.getTime() ?? 0) - at(ms).getTime();

describe("a webhook whose receiver fails", () => {
  it("is tried again after pauses that double up to a ceiling, and stays where it was", () => {
    let progress = fresh;
    const pauses = [0, 1, 2, 3, 4, 5].map((ms) => {
      progress = fail(progress, ms);
      return pauseAfter(progress, ms);
    });
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    expect(progress).toMatchObject({
      isActive: true,
      position: "7",
      failures: 6,
      failingSince: start,
      message: "it answered 500",
    });
  });

  it("leaves half of a pause to chance", () => {
    const early = afterFailure(fresh, failed, { policy, now: start, random: () => 0 });
    expect(pauseAfter(early, 0)).toBe(500);
  });

  it("is stopped at the end of its time, with a last attempt just then", () => {
    const first = fail(fresh, 0);
    const late = fail(first, 59_000);
    expect(pauseAfter(late, 59_000)).toBe(1_000);
    const last = fail(late, 60_000);
    expect(last).toMatchObject({ isActive: false, nextAttemptAt: null, position: "7" });
    expect(last.message).toContain("since 2026-01-01T00:00:00.000Z: it answered 500");
  });

  it("is stopped at once when the receiver says that it is gone", () => {
    const gone = afterFailure(fresh, { ...failed, status: 410, isFinal: true }, { policy, now: start, random: () => 1 });
    expect(gone).toMatchObject({ isActive: false, nextAttemptAt: null });
  });

  it("has no trouble any more once an event was delivered", () => {
    const after = afterDelivery(fail(fail(fresh, 0), 1_000), "8", at(2_000));
    expect(after).toEqual({ ...fresh, position: "8", lastDeliveryAt: at(2_000) });
  });
});
