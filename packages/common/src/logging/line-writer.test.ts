import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLineWriter } from "./line-writer.ts";

/** What was written, and how many bytes more there is room for. */
let written: string;
let room: number;
let writes: number;

const put = (bytes: Uint8Array): number => {
  if (room === 0) throw Object.assign(new Error("full"), { code: "EAGAIN" });
  const taken = Math.min(room, bytes.length);
  written += Buffer.from(bytes.subarray(0, taken)).toString();
  room -= taken;
  writes += 1;
  return taken;
};
const text = (count: number) => Array.from({ length: count }, (_, at) => `line ${at}\n`).join("");
const writeAll = (writer: { write(line: string): void }, count: number) => {
  for (let at = 0; at < count; at += 1) writer.write(`line ${at}\n`);
};

beforeEach(() => {
  vi.useFakeTimers();
  [written, room, writes] = ["", Number.POSITIVE_INFINITY, 0];
});
afterEach(() => {
  vi.useRealTimers();
});

it("lines of one turn are written together, in their order", async () => {
  writeAll(createLineWriter({ put }), 100);
  expect(writes).toBe(0);
  await vi.advanceTimersByTimeAsync(0);
  expect([written, writes]).toEqual([text(100), 1]);
});

it("a reader that is behind gets the rest when it has room, from the middle of a line on", async () => {
  room = 10;
  const writer = createLineWriter({ put });
  writeAll(writer, 100);
  await vi.advanceTimersByTimeAsync(50);
  expect(written).toBe(text(100).slice(0, 10));
  room = Number.POSITIVE_INFINITY;
  await vi.advanceTimersByTimeAsync(10);
  expect(written).toBe(text(100));
});

it("what nobody reads is kept up to a bound, and counted beyond it", async () => {
  room = 0;
  const writer = createLineWriter({ put, mostBytes: 70 });
  writeAll(writer, 100);
  await vi.advanceTimersByTimeAsync(10);
  room = Number.POSITIVE_INFINITY;
  await vi.advanceTimersByTimeAsync(20);
  const last = written.slice(text(10).length);
  expect(written.slice(0, text(10).length)).toBe(text(10));
  expect(JSON.parse(last)).toMatchObject({ level: 40, lines: 90 });
});

it("what cannot be written is lost, and what comes later is not", async () => {
  let isFull = true;
  const writer = createLineWriter({
    put(bytes) {
      if (isFull) throw Object.assign(new Error("no room"), { code: "ENOSPC" });
      return put(bytes);
    },
  });
  writeAll(writer, 1);
  await vi.advanceTimersByTimeAsync(0);
  isFull = false;
  writer.write("later\n");
  await vi.advanceTimersByTimeAsync(0);
  expect(written).toBe("later\n");
});

it("a process that ends writes what is there, and does not wait for ever for a reader", () => {
  const writer = createLineWriter({ put, patienceMs: 20 });
  writeAll(writer, 10);
  writer.finish();
  expect(written).toBe(text(10));
  room = 0;
  vi.useRealTimers();
  writeAll(writer, 10);
  const from = performance.now();
  writer.finish();
  expect(performance.now() - from).toBeGreaterThanOrEqual(20);
});
