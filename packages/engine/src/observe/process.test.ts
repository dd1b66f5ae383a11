import { expect, it } from "vitest";
import { observeProcess, startTimeOf } from "./process.ts";

it("finds the start time behind whatever a process is called", () => {
  const tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20 21";
  expect(startTimeOf(`12 (a) b) (c) ${tail}\n`)).toBe("424242");
});

it("knows this process, and none with a pid of nobody", async () => {
  const own = await observeProcess(process.pid);
  expect(own?.netns).toMatch(/^net:\[\d+\]$/);
  expect(await observeProcess(process.pid)).toEqual(own);
  expect(await observeProcess(0)).toBeUndefined();
  expect(await observeProcess(2 ** 22 + 1)).toBeUndefined();
});
