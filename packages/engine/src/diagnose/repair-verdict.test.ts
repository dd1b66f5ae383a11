import { expect, it } from "vitest";
import type { JudgedDecky, ServiceState } from "./judge.ts";
import { repairInVain } from "./repair-verdict.ts";

const service = (slug: string, state: ServiceState) => ({
  ...{ slug, state, message: state, containerName: `web-${slug}`, containerId: "", startedAt: "", restartCount: 0 },
  ...{ listening: [], openSessions: 0 },
});
const acted = (...services: string[]) => ({
  steps: services.map((slug, at) => ({ number: at + 1, verb: "create", target: `web-${slug}`, service: slug, cause: "missing" })),
});
const judged = (state: JudgedDecky["state"], message: string, services: Record<string, ServiceState>): JudgedDecky => ({
  ...{ state, message, baseId: "b" },
  services: Object.entries(services).map(([slug, word]) => service(slug, word)),
});

it.each([
  ["everything is well", acted("ssh"), judged("running", "", { ssh: "running" }), undefined],
  ["it is to be gone", acted("ssh"), undefined, undefined],
  ["its service is still broken", acted("ssh"), judged("degraded", "ssh: x", { ssh: "exited", http: "running" }), "ssh: x"],
  ["its service and another are", acted("ssh"), judged("degraded", "both", { ssh: "exited", http: "missing" }), "both"],
  [
    "another service broke meanwhile",
    acted("ssh"),
    judged("degraded", "http: x", { ssh: "running", http: "missing" }),
    undefined,
  ],
  ["the base went, and all with it", acted("ssh"), judged("failed", "base: x", { ssh: "detached" }), "base: x"],
  ["its rules are not there", acted(""), judged("degraded", "its guard is away", { ssh: "running" }), "its guard is away"],
  ["it could not be observed", acted("ssh"), judged("unknown", "", {}), "it is unknown"],
] as const)("a repair after which %s: why it was in vain", (_, plan, seen, why) => expect(repairInVain(plan, seen)).toBe(why));
