import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createPace } from "./pace.ts";

const soon = () => delay(50);

/** Whoever still waits when a test ends gives up, so that nothing runs on. */
let isEnded = false;
beforeEach(() => {
  isEnded = false;
});
afterEach(async () => {
  isEnded = true;
  await soon();
});

it("a flood from everywhere leaves those who are expected their own", async () => {
  const begun: string[] = [];
  const total = { burst: 5, perSecond: 1 };
  const pace = createPace({ order: "newest first", burst: 10, perSecond: 1, total, isExpected: (of) => of === "worker" });
  const come = (of: string) => pace.begin(of, { isOver: () => isEnded, begin: () => void begun.push(of) });
  for (let count = 0; count < 100; count += 1) come(`stranger ${count}`);
  for (let count = 0; count < 8; count += 1) come("worker");
  await soon();
  expect(begun.filter((of) => of === "worker")).toHaveLength(8);
  expect(begun.length).toBe(13);
});

it("one line takes no more than its own, also when all together have more", async () => {
  let begun = 0;
  const pace = createPace({ order: "oldest first", burst: 3, perSecond: 1, total: { burst: 100, perSecond: 100 } });
  for (let count = 0; count < 50; count += 1) pace.begin("one", { isOver: () => isEnded, begin: () => (begun += 1) });
  await soon();
  expect(begun).toBe(3);
});

it("what was given back is there for the next", async () => {
  const begun: number[] = [];
  const pace = createPace({ order: "oldest first", burst: 3, perSecond: 0 });
  for (let count = 0; count < 50; count += 1)
    pace.begin("one", {
      isOver: () => isEnded,
      begin(giveBack) {
        begun.push(count);
        if (count % 2 === 0) giveBack();
      },
    });
  await soon();
  expect(begun).toEqual([0, 1, 2, 3, 4, 5]);
});

it("by lot, whoever comes again as soon as he was served keeps nobody of his line waiting", async () => {
  const begun = { flood: 0, honest: 0 };
  const pace = createPace({ order: "by lot", burst: 1, perSecond: 1_000 });
  const isOver = () => isEnded || begun.flood > 1_000;
  const comeAgain = () =>
    pace.begin("one", {
      isOver,
      begin() {
        begun.flood += 1;
        if (!isOver()) comeAgain();
      },
    });
  for (let count = 0; count < 8; count += 1) comeAgain();
  pace.begin("one", { isOver: () => isEnded, begin: () => (begun.honest += 1) });
  for (let count = 0; count < 400 && begun.honest === 0 && !isOver(); count += 1) await delay(10);
  expect(begun.honest).toBe(1);
});

it("those that gave up cost nobody's turn, and are not kept", async () => {
  let looks = 0;
  let begun = 0;
  const pace = createPace({ order: "newest first", burst: 1, perSecond: 0 });
  const over = {
    isOver() {
      looks += 1;
      return true;
    },
    begin: () => (begun += 1),
  };
  const first = { isOver: () => isEnded, begin: () => (begun += 1) };
  pace.begin("one", first);
  await soon();
  for (let count = 0; count < 5_000; count += 1) pace.begin("one", over);
  // Each was looked at in its time, and not all of them again and again.
  expect(looks).toBeGreaterThan(4_000);
  expect(looks).toBeLessThan(10_000);
  expect(begun).toBe(1);
});
