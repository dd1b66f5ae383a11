import { expect, it } from "vitest";
import { wakeOrder } from "./wake-order.ts";

const order = (words: string, perHost: number) => {
  const woken = words.split(" ").map((word) => ({ host: word.slice(0, 1), word }));
  return wakeOrder(woken, perHost)
    .map(({ word }) => word)
    .join(" ");
};

it.each<[what: string, given: string, perHost: number, ordered: string]>([
  ["those of one host stand together", "a1 b1 c1 a2 b2 c2", 2, "a1 a2 b1 b2 c1 c2"],
  ["every host has a lane full before one has more", "a1 a2 a3 a4 a5 b1 b2 b3", 2, "a1 a2 b1 b2 a3 a4 b3 a5"],
  ["those of a single host keep their order", "a1 a2 a3", 2, "a1 a2 a3"],
  ["a lane of one takes turns", "a1 a2 b1 b2", 1, "a1 b1 a2 b2"],
])("%s", (_, given, perHost, ordered) => {
  expect(order(given, perHost)).toBe(ordered);
});

it("nobody is woken when there is nobody", () => {
  expect(wakeOrder([], 4)).toEqual([]);
});
