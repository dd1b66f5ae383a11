import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeOperation, type OperationRecord } from "../model/operation.ts";
import type { OperationStore } from "../store/operations.ts";
import { createBoard } from "./board.ts";

const running: OperationRecord = {
  row: makeOperation({ createdAt: new Date(0), id: "op-1", kind: "add_service", actor: "ann", state: "running" }),
  steps: [],
  children: [],
};
const over: OperationRecord = { ...running, row: { ...running.row, state: "succeeded" } };
const never = new AbortController().signal;

/** Operations as they are stored, and which of them were looked up. */
function useBoard() {
  let stored = running;
  const lookUps: string[] = [];
  /** Comes between the look-up and its result. */
  let meanwhile: (() => void) | undefined;
  const look = async <Found>(how: string, find: () => Found): Promise<Found> => {
    lookUps.push(how);
    const found = find();
    const action = meanwhile;
    meanwhile = undefined;
    action?.();
    return found;
  };
  const operations: Pick<OperationStore, "get" | "waitedFor"> = {
    get: () => look("whole", () => stored),
    waitedFor: () => look("state", () => stored.row),
  };
  return {
    board: createBoard(operations as OperationStore),
    lookUps,
    store: (record: OperationRecord) => {
      stored = record;
    },
    whileLookingUp: (action: () => void) => {
      meanwhile = action;
    },
  };
}

const told = (record: OperationRecord | undefined) => [{ id: "op-1", record }];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount(), "timers that are left behind").toBe(0);
  vi.useRealTimers();
});

describe("who waits for the end of an operation", () => {
  it("is handed the record by the side that ended it: nothing is looked up", async () => {
    const { board, lookUps } = useBoard();
    const waiting = board.waitForEnd(running, never);
    board.ended(told(over));
    expect(await waiting).toBe(over);
    expect(lookUps).toEqual([]);
  });

  it("is handed it also when the end came before the waiting", async () => {
    const { board, lookUps } = useBoard();
    board.ended(told(over));
    expect(await board.waitForEnd(running, never)).toBe(over);
    expect(lookUps).toEqual([]);
    await vi.runAllTimersAsync();
  });

  it("is handed what ended while something else was being found out", async () => {
    const { board, lookUps } = useBoard();
    const isEnough = async () => {
      board.ended(told(over));
      return false;
    };
    expect(await board.waitForEnd(running, never, isEnough)).toBe(over);
    expect(lookUps).toEqual([]);
  });

  it("is handed what ended in the middle of a look-up", async () => {
    const { board, lookUps, whileLookingUp } = useBoard();
    const waiting = board.waitForEnd(running, never);
    whileLookingUp(() => board.ended(told(over)));
    board.ended(told(undefined));
    expect(await waiting).toBe(over);
    expect(lookUps).toEqual(["state"]);
    await vi.runAllTimersAsync();
  });

  it("looks up what nobody knows as a whole", async () => {
    const { board, lookUps, store } = useBoard();
    const waiting = board.waitForEnd(running, never);
    store(over);
    board.ended(told(undefined));
    expect(await waiting).toBe(over);
    expect(lookUps).toEqual(["state", "whole"]);
  });

  it("finds out within a second what nobody told", async () => {
    const { board, lookUps, store } = useBoard();
    const waiting = board.waitForEnd(running, never);
    store(over);
    await vi.advanceTimersByTimeAsync(999);
    expect(lookUps).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await waiting).toBe(over);
  });

  it("is not disturbed by the steps on the way, nor by the ends of others", async () => {
    const { board, lookUps } = useBoard();
    const waiting = board.waitForEnd(running, never);
    board.progressed(["op-1"]);
    board.ended([{ id: "op-2", record: over }]);
    await vi.advanceTimersByTimeAsync(900);
    expect(lookUps).toEqual([]);
    board.ended(told(over));
    await waiting;
  });

  it("does not wait for what has ended", async () => {
    const { board, lookUps, store } = useBoard();
    store(over);
    expect(await board.waitForEnd(over, never)).toBe(over);
    expect(lookUps).toEqual(["whole"]);
  });

  it("returns how it stands when it has waited long enough", async () => {
    const { board } = useBoard();
    const ending = new AbortController();
    const waiting = board.waitForEnd(running, ending.signal);
    ending.abort();
    expect(await waiting).toBe(running);
  });

  it("returns how it stands when waiting is of no use", async () => {
    const { board } = useBoard();
    expect(await board.waitForEnd(running, never, () => true)).toBe(running);
    await vi.runAllTimersAsync();
  });

  it.each([
    ["the newest 256 ends that nobody waited for yet are remembered", 255, []],
    ["an older one is looked up", 256, ["state", "whole"]],
  ])("%s", async (_name, later, expected) => {
    const { board, lookUps, store } = useBoard();
    store(over);
    board.ended(told(over));
    board.ended(Array.from({ length: later }, (_, index) => ({ id: `op-x${index}`, record: over })));
    const waiting = board.waitForEnd(running, never);
    await vi.runAllTimersAsync();
    expect(await waiting).toBe(over);
    expect(lookUps).toEqual(expected);
  });

  it("shares the news with all who wait", async () => {
    const { board } = useBoard();
    const waiting = [board.waitForEnd(running, never), board.waitForEnd(running, never)];
    board.ended(told(over));
    expect(await Promise.all(waiting)).toEqual([over, over]);
  });
});

describe("who watches an operation", () => {
  it("sees it now, after each step, and at its end, which is the last", async () => {
    const { board, store } = useBoard();
    const watching = board.watch("op-1", never);
    expect((await watching.next()).value).toBe(running);
    const second = watching.next();
    const half = { ...running, row: { ...running.row, revision: 2 } };
    store(half);
    board.progressed(["op-1"]);
    expect((await second).value).toBe(half);
    const third = watching.next();
    store(over);
    board.ended(told(undefined));
    expect((await third).value).toBe(over);
    expect(await watching.next()).toEqual({ done: true, value: undefined });
    await vi.runAllTimersAsync();
  });

  it("misses nothing between the look-up and the listening", async () => {
    const { board, store, whileLookingUp } = useBoard();
    whileLookingUp(() => {
      store(over);
      board.progressed(["op-1"]);
    });
    const seen: string[] = [];
    for await (const { row } of board.watch("op-1", never)) seen.push(row.state);
    expect(seen).toEqual(["running", "succeeded"]);
    await vi.runAllTimersAsync();
  });

  it("ends when nobody watches any more", async () => {
    const { board } = useBoard();
    const ending = new AbortController();
    const watching = board.watch("op-1", ending.signal);
    await watching.next();
    ending.abort();
    expect((await watching.next()).done).toBe(true);
  });
});
