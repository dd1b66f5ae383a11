import { expect, it } from "vitest";
import { createExclusive } from "./exclusive.ts";

const forEver = new AbortController().signal;

/** Work that goes on until it is released, and notes when it begins. */
function openWork(log: string[], name: string) {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const work = async () => {
    log.push(name);
    await released;
    return name;
  };
  return { work, release };
}

/** Resolves after everything that could go on has. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

it("runs work on one key in turn, and on different keys side by side up to the limit", async () => {
  const log: string[] = [];
  const exclusive = createExclusive(2);
  const works = ["a1", "a2", "b1", "c1"].map((name) => openWork(log, name));
  const runs = works.map(({ work }, index) => exclusive.run("aabc"[index] ?? "", forEver, work));
  await settled();
  expect(log).toEqual(["a1", "b1"]);
  works[0]?.release();
  await settled();
  expect(log).toEqual(["a1", "b1", "c1"]);
  for (const { release } of works) release();
  expect(await Promise.all(runs)).toEqual(["a1", "a2", "b1", "c1"]);
});

it.each([
  ["its key", 2, "a"],
  ["a place", 1, "b"],
])("ends a wait for %s at once when it is aborted, and lets nobody past whom it waited for", async (_, limit, key) => {
  const log: string[] = [];
  const exclusive = createExclusive(limit);
  const [first, second, third] = ["first", "second", "third"].map((name) => openWork(log, name));
  const aborting = new AbortController();
  const running = exclusive.run("a", forEver, first?.work ?? expect.fail());
  const waiting = exclusive.run(key, aborting.signal, second?.work ?? expect.fail());
  const behind = exclusive.run(key, forEver, third?.work ?? expect.fail());
  await settled();
  aborting.abort(new Error("given up"));
  await expect(waiting).rejects.toThrow("given up");
  await settled();
  expect(log).toEqual(["first"]);
  first?.release();
  third?.release();
  expect(await Promise.all([running, behind])).toEqual(["first", "third"]);
  expect(log).toEqual(["first", "third"]);
});

it("lets the next one on after work that failed", async () => {
  const exclusive = createExclusive(1);
  await expect(exclusive.run("a", forEver, () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  expect(await exclusive.run("a", forEver, async () => "next")).toBe("next");
});
