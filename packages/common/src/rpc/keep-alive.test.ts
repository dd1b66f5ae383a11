import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type KeepAliveOptions, keepAlive } from "./keep-alive.ts";
import { formatLineNote } from "./line-note.ts";

type OnAnswer = (error: Error | null) => void;

/** As much of a session as watching over it needs: what it sends is noted, and the test says what comes. */
class Line extends EventEmitter {
  closed = false;
  destroyed = false;
  isAnswered = true;
  readonly sent: (Buffer | undefined)[] = [];
  ping(first: Buffer | OnAnswer, second?: OnAnswer): void {
    this.sent.push(typeof first === "function" ? undefined : first);
    const onAnswer = typeof first === "function" ? first : second;
    if (this.isAnswered) onAnswer?.(null);
  }
  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

describe("watching over a connection", () => {
  let line: Line;
  let deaths: number;

  beforeEach(() => {
    vi.useFakeTimers();
    line = new Line();
    deaths = 0;
  });
  afterEach(() => {
    line.destroy();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  const watch = (options: Pick<KeepAliveOptions, "ping" | "note" | "onNote">) =>
    keepAlive(line, {
      ...options,
      onDead: () => {
        deaths += 1;
      },
    });

  it("pings every four seconds when it is told to do so always, with what it has to say", () => {
    const msAgo = 1_500;
    watch({ ping: "always", note: () => ({ kind: "checked", msAgo }) });
    vi.advanceTimersByTime(12_000);
    expect(line.sent).toEqual([1, 2, 3].map(() => formatLineNote({ kind: "checked", msAgo })));
  });

  it("sends plain pings while it has nothing to say", () => {
    watch({ ping: "always", note: () => undefined });
    vi.advanceTimersByTime(4_000);
    expect(line.sent).toEqual([undefined]);
  });

  it("pings not at all while the other end does, and hears what that says", () => {
    const onNote = vi.fn();
    watch({ ping: "when-quiet", onNote });
    for (let ping = 0; ping < 10; ping += 1) {
      vi.advanceTimersByTime(4_000);
      line.emit("ping", ping % 2 === 0 ? formatLineNote({ kind: "report-now" }) : Buffer.from("whatever"));
    }
    expect(line.sent).toEqual([]);
    expect(onNote.mock.calls).toEqual(Array.from({ length: 5 }, () => [{ kind: "report-now" }]));
  });

  it("pings when the other end has been quiet for five seconds", () => {
    watch({ ping: "when-quiet" });
    vi.advanceTimersByTime(3_000);
    line.emit("ping", Buffer.alloc(8));
    vi.advanceTimersByTime(4_900);
    expect(line.sent).toHaveLength(0);
    vi.advanceTimersByTime(100);
    expect(line.sent).toHaveLength(1);
  });

  it.each(["always", "when-quiet"] as const)(
    "gives up an end that answers no more within ten seconds of its last word: %s",
    (ping) => {
      watch({ ping });
      vi.advanceTimersByTime(3_000);
      line.emit("ping", Buffer.alloc(8));
      line.isAnswered = false;
      vi.advanceTimersByTime(9_900);
      const isEarly = ping === "always";
      expect(deaths).toBe(isEarly ? 1 : 0);
      vi.advanceTimersByTime(200);
      expect([deaths, line.destroyed]).toEqual([1, true]);
    },
  );

  it.each(["closed", "destroyed"] as const)("gives up a session that is %s and does not come to its end", (state) => {
    watch({ ping: "always" });
    vi.advanceTimersByTime(5_000);
    line[state] = true;
    vi.advanceTimersByTime(10_000);
    expect(deaths).toBe(1);
  });

  it("takes an answer for one that was here already when it was too late to read it", () => {
    let late: OnAnswer = () => undefined;
    vi.spyOn(line, "ping").mockImplementation((first) => {
      if (typeof first === "function") late = first;
    });
    watch({ ping: "always" });
    vi.advanceTimersByTime(9_999);
    // The timer and what arrived are due in the same turn; what arrived is read first.
    vi.advanceTimersToNextTimer();
    late(null);
    vi.advanceTimersByTime(1);
    expect(deaths).toBe(0);
  });
});
