import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createReadiness } from "./readiness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const well = async () => undefined;
const ill = (message: string) => () => Promise.reject(new Error(message));
const never = () => new Promise(() => undefined);
const engine = (ping: () => Promise<unknown>, ...warnings: string[]) => ({ ping, warnings: () => warnings });

function open(parts: Partial<Parameters<typeof createReadiness>[0]> = {}) {
  return createReadiness({ database: well, engine: engine(well), keys: well, isStopping: () => false, ...parts });
}

describe("a master is", () => {
  it.each([
    ["ready when all is well", {}, true, {}],
    [
      "ready on a host that contains no decky",
      { engine: engine(well, "not_contained: for some cause") },
      true,
      { containment: "not contained" },
    ],
    ["not ready without its database", { database: ill("full") }, false, { database: "full" }],
    ["ready without its own engine", { engine: engine(ill("away")) }, true, { engine: "away", containment: "not known" }],
    [
      "ready without its own engine, which contained no decky before",
      { engine: engine(ill("away"), "not_contained: for some cause") },
      true,
      { engine: "away", containment: "not contained" },
    ],
    ["ready while the files of its keys are not what they were", { keys: ill("gone") }, true, { keys: "gone" }],
    ["ready while its bus is late", { bus: async () => true }, true, { bus: "late" }],
    ["ready with a bus", { bus: async () => false }, true, { bus: "ok" }],
    ["ready when nobody knows how its bus is", { bus: ill("away") }, true, { bus: "not known" }],
    ["not ready when it is told to stop", { isStopping: () => true }, false, {}],
  ])("%s", async (_, parts, isReady, said) => {
    const readiness = open(parts);
    expect(await readiness.now()).toEqual({
      isReady,
      parts: { database: "ok", engine: "ok", containment: "ok", keys: "ok", ...said },
    });
    expect(readiness.isReady()).toBe(isReady);
  });

  it("not ready, within seconds, when its database returns nothing", async () => {
    const readiness = open({ database: never });
    const asked = readiness.now();
    await vi.advanceTimersByTimeAsync(3_000);
    const parts = { database: "no answer within 3 s", engine: "ok", containment: "ok", keys: "ok" };
    expect(await asked).toEqual({ isReady: false, parts });
  });
});

it("many who ask at once are one look, and it is new after a second", async () => {
  const database = vi.fn(well);
  const readiness = open({ database });
  await Promise.all(Array.from({ length: 600 }, readiness.now));
  expect(database).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1_001);
  await readiness.now();
  expect(database).toHaveBeenCalledTimes(2);
});
