import { expect, it } from "vitest";
import { createLanes } from "./lanes.ts";

const { signal } = new AbortController();

it("lets so many in at a time, and the others in their order", async () => {
  const lanes = createLanes(1);
  const first = lanes.tryEnter("a");
  const order: string[] = [];
  const second = lanes.enter("a", signal).then((slot) => (order.push("second"), slot));
  const third = lanes.enter("a", signal).then((slot) => (order.push("third"), slot));
  expect(lanes.tryEnter("a")).toBeUndefined();
  first?.release();
  (await second).release();
  (await third).release();
  expect(order).toEqual(["second", "third"]);
  expect(lanes.tryEnter("a")).toBeDefined();
});

it("keeps no host waiting for another one", () => {
  const lanes = createLanes(1);
  lanes.tryEnter("slow");
  expect(lanes.tryEnter("quick")).toBeDefined();
});

it("gives up a wait that is aborted, and its place with it", async () => {
  const lanes = createLanes(1);
  const first = lanes.tryEnter("a");
  const ending = new AbortController();
  const second = lanes.enter("a", ending.signal);
  ending.abort(new Error("over"));
  await expect(second).rejects.toThrow("over");
  first?.release();
  expect(lanes.tryEnter("a")).toBeDefined();
});

it("counts a place once, however often it is released", () => {
  const lanes = createLanes(1);
  const first = lanes.tryEnter("a");
  first?.release();
  const second = lanes.tryEnter("a");
  first?.release();
  expect(lanes.tryEnter("a")).toBeUndefined();
  second?.release();
});
