import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRepeats, type Line } from "./repeats.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function listen(most?: number) {
  const written: string[] = [];
  const write = ({ message, fields }: Line) => {
    written.push([message, fields["host"], fields["repeated"]].filter((part) => part !== undefined).join(" "));
  };
  const say = createRepeats({ write, windowMs: 60_000, ...(most === undefined ? {} : { most }) });
  return { written, say: (message: string, fields: Record<string, unknown> = {}) => say({ level: "warn", message, fields }) };
}

describe("a line that is logged again and again", () => {
  it("is written at once, and then counted", () => {
    const { say, written } = listen();
    for (let time = 0; time < 20; time += 1) say("away", { host: "local", err: new Error("no"), againInMs: time });
    expect(written).toEqual(["away local"]);
    vi.advanceTimersByTime(60_000);
    expect(written).toEqual(["away local", "away local 19"]);
  });

  it("goes on being counted while it is repeated, and is new again after a minute without it", () => {
    const { say, written } = listen();
    say("away");
    say("away");
    vi.advanceTimersByTime(60_000);
    say("away");
    vi.advanceTimersByTime(60_000);
    vi.advanceTimersByTime(60_000);
    say("away");
    expect(written).toEqual(["away", "away 1", "away 1", "away"]);
    expect(vi.getTimerCount()).toBe(1);
  });

  it.each([
    ["of another host", { host: "a" }, { host: "b" }],
    ["with another error", { err: new Error("one") }, { err: new Error("two") }],
    ["of another operation", { operation: "op-1" }, { operation: "op-2" }],
  ])("is not the same %s", (_, first, second) => {
    const { say, written } = listen();
    say("away", first);
    say("away", second);
    expect(written).toHaveLength(2);
  });

  it("is written as it comes when there are too many different ones to remember", () => {
    const { say, written } = listen(2);
    for (const host of ["a", "b", "c", "c"]) say("away", { host });
    expect(written).toHaveLength(4);
  });
});
