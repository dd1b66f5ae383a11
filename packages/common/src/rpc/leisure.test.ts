import { expect, it } from "vitest";
import { createLeisure } from "./leisure.ts";

function start() {
  const loop = { part: 0, at: 0 };
  const leisure = createLeisure(
    () => loop.part,
    () => loop.at,
  );
  const after = (ms: number, part: number, most = 1_000) => {
    Object.assign(loop, { part, at: loop.at + ms });
    return leisure.cost(most);
  };
  return after;
}

it("a stranger's things cost more the longer the loop is busy, up to a most", () => {
  const after = start();
  expect([after(50, 0.3), after(50, 0.9), after(50, 0.9), after(50, 0.9)]).toEqual([1, 2, 4, 8]);
  for (let count = 0; count < 10; count += 1) after(50, 1);
  expect([after(50, 1), after(50, 1, 5)]).toEqual([20, 5]);
});

it("between two looks nothing changes", () => {
  const after = start();
  expect([after(10, 0.9), after(10, 0.9), after(40, 0.9), after(10, 0)]).toEqual([1, 1, 2, 2]);
});

it("when there is leisure again it costs less, by and by, or at once when nobody came for a while", () => {
  const after = start();
  for (let count = 0; count < 10; count += 1) after(50, 1);
  expect(after(50, 0.1)).toBeCloseTo(20 / 1.2);
  expect(after(50, 0.1)).toBeCloseTo(20 / 1.44);
  expect(after(5_000, 0.1)).toBe(1);
});
