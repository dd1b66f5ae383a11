import { expect, it } from "vitest";
import { emptyPlan, type PlanRecord } from "../model/operation.ts";
import { createShownPlans, planDifference } from "./plan-difference.ts";

const step = (text: string, number = 1) => {
  const [verb = "", target = ""] = text.split(" ");
  return { number, verb, target, cause: "requested", service: "" };
};
const plan = (steps: string[], more: Partial<PlanRecord> = {}) => emptyPlan({ steps: steps.map((each) => step(each)), ...more });
const part = (name: string, steps: string[]) => ({ name, host: "edge-1", action: "change", plan: plan(steps) });

it.each<[string, PlanRecord | undefined, PlanRecord, string[]]>([
  ["a step that came", plan(["create web-http"]), plan(["create web-http", "start web-ssh"]), ["+ start web-ssh (requested)"]],
  ["a step that went", plan(["create web-http", "start web-ssh"]), plan(["create web-http"]), ["- start web-ssh (requested)"]],
  [
    "a container that is missing now",
    plan(["create web-http"], { untouched: ["web-ssh"] }),
    plan(["create web-http", "create web-ssh"]),
    ["- untouched: web-ssh", "+ create web-ssh (requested)"],
  ],
  ["a change in between", plan([], { baseRevision: 3 }), plan([], { baseRevision: 4 }), ["revision 3 is 4 now"]],
  [
    "the same steps about other containers",
    plan(["remove web-ssh"]),
    plan(["remove web-ssh"]),
    ["the steps are the same, and the containers that they act on are others"],
  ],
  [
    "a decky of a fleet",
    emptyPlan({ deckies: [part("a", ["create a-http"]), part("b", [])] }),
    emptyPlan({ deckies: [part("a", ["recreate a-http"])] }),
    ["- a: create a-http (requested)", "- change b on edge-1", "+ a: recreate a-http (requested)"],
  ],
  ["a plan that nobody remembers", undefined, plan(["create web-http"]), ["now: create web-http (requested)"]],
])("%s", (_, before, after, moved) => expect(planDifference(before, after)).toEqual(moved));

it("a long difference is cut", () => {
  const many = plan(Array.from({ length: 100 }, (_, index) => `create web-${index}`));
  expect(planDifference(plan([]), many)).toHaveLength(21);
  expect(planDifference(plan([]), many).at(-1)).toBe("and 80 more");
});

it("remembers the plans that were shown last", () => {
  const shown = createShownPlans();
  for (let number = 0; number < 1_001; number += 1) shown.remember(plan([], { digest: `d${number}` }));
  expect(shown.find("d0")).toBeUndefined();
  expect(shown.find("d1000")?.digest).toBe("d1000");
});
