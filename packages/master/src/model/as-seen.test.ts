import { expect, it } from "vitest";
import { stateAsSeen } from "./as-seen.ts";
import type { ObservedRecord } from "./decky.ts";

type Seen = ObservedRecord["services"][number];

const service = (slug: string, state: Seen["state"], message = ""): Seen => ({
  ...{ slug, state, message, containerName: `web-${slug}`, containerId: "c", startedAt: "t", restartCount: 0 },
  ...{ listening: [], openSessions: 0 },
});

it.each<[name: string, observed: ObservedRecord | null, state: string, message: string]>([
  ["was never seen", null, "pending", ""],
  ["had no base", { baseId: "", services: [] }, "failed", "base: there is no container"],
  ["was well", { baseId: "b", services: [service("ssh", "running")] }, "running", ""],
  ["had a service that exited", { baseId: "b", services: [service("ssh", "exited", "exited")] }, "degraded", "ssh: exited"],
  [
    "had a service that was cut off",
    { baseId: "b", services: [service("ssh", "detached", "is cut off")] },
    "detached",
    "ssh: is cut off",
  ],
])("a decky that %s is still so when nothing was done to it", (_name, observed, state, message) => {
  expect(stateAsSeen(observed)).toEqual({ state, message });
});
