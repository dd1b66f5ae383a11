import { describe, expect, it } from "vitest";
import type { Decky } from "./decky.ts";
import { messageOf, type Surroundings, standingOf } from "./standing.ts";

const retryAt = new Date("2026-01-01T12:00:00Z");
/** As much of a decky as its standing depends on. */
const known: Partial<Decky> = {
  ...{
    scope: "fleet",
    name: "web",
    host: "edge-1",
    desiredRevision: 3,
    appliedRevision: 3,
    renderedRevision: 3,
    pendingRemovals: [],
  },
  ...{ leaving: false, repairPaused: false, state: "running", message: "", failures: 0, retryAt: null, retryCause: "" },
};
const web = known as Decky;
const here: Surroundings = { isReachable: () => true, removalTrouble: () => undefined };
const away: Surroundings = { ...here, isReachable: () => false };

const stuck = { leaving: true, state: "failed", message: "it does not stop", retryAt, retryCause: "it does not stop" } as const;
const unapplied = { appliedRevision: 2, state: "degraded", message: "ssh: is absent", retryAt, retryCause: "no image" } as const;
const pausing = { state: "degraded", message: "ssh: exited", failures: 3, retryAt } as const;
const kept = { repairPaused: true, appliedRevision: 2, state: "degraded", message: "no image", retryAt } as const;

describe("what a decky says of itself", () => {
  it.each<[name: string, decky: Partial<Decky>, around: Surroundings, standing: string, message: string]>([
    ["nothing is to be done", {}, here, "settled", ""],
    ["an operation does it", { ...stuck, state: "changing", message: "" }, here, "settled", ""],
    [
      "its teardown failed",
      stuck,
      here,
      "teardown_failed",
      "it does not stop; its teardown is tried again at 2026-01-01T12:00:00.000Z: decnet decky teardown web does it now, " +
        "decnet decky restore web r3 wants it back",
    ],
    [
      "an undo failed",
      unapplied,
      here,
      "unapplied",
      "ssh: is absent; the last try failed: no image; revision 3 is tried again at 2026-01-01T12:00:00.000Z: " +
        "decnet decky restore web r3 does it now",
    ],
    [
      "an undo failed, and its host is away",
      { ...unapplied, state: "unknown", message: "no image" },
      away,
      "unapplied",
      "no image; revision 3 is tried again when host edge-1 is back: decnet decky restore web r3 does it now",
    ],
    [
      "it breaks again and again",
      pausing,
      here,
      "pausing",
      "ssh: exited; was repaired 3 times lately, and may be again at 2026-01-01T12:00:00.000Z: " +
        "decnet decky restore web r3 does it now",
    ],
    [
      "a failure is kept",
      kept,
      here,
      "kept",
      "no image; a failed change is kept and nothing is repaired: decnet decky restore web r3 tries it again, " +
        "decnet decky restore web r2 takes it back",
    ],
    [
      "a failed teardown is kept",
      { ...stuck, repairPaused: true },
      here,
      "kept",
      "it does not stop; a failed teardown is kept: decnet decky teardown web tries it again, " +
        "decnet decky restore web r3 wants it back",
    ],
    [
      "a first deploy is kept",
      { ...kept, appliedRevision: 0 },
      here,
      "kept",
      "no image; a failed change is kept and nothing is repaired: decnet decky restore web r3 tries it again, " +
        "decnet decky teardown web removes it",
    ],
    [
      "it is still on a host that is away",
      { pendingRemovals: ["edge-2"] },
      away,
      "elsewhere",
      "still has to be removed from edge-2, which is away: it is done when that is back, or " +
        "decnet host decommission edge-2 --force forgets it",
    ],
    [
      "it cannot be removed from where it was",
      { pendingRemovals: ["edge-2"] },
      { ...here, removalTrouble: () => ({ message: "it does not stop", until: retryAt }) },
      "elsewhere",
      "still has to be removed from edge-2: it does not stop; tried again at 2026-01-01T12:00:00.000Z",
    ],
    ["it was repaired lately and is well", { ...pausing, state: "running", message: "" }, here, "settled", ""],
  ])("%s", (_name, more, around, standing, message) => {
    const decky = { ...web, ...more };
    expect(standingOf(decky)).toBe(standing);
    expect(messageOf(decky, around)).toBe(message);
  });
});
