import { expect, it } from "vitest";
import { emptyPlan, makeOperation, type NewOperation, type PlanRecord } from "../model/operation.ts";
import { createShownPlans, doneSince, planDifference } from "./plan-difference.ts";

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
    ["the steps and the containers are the same, and what they are made from is not"],
  ],
  [
    "a decky of a fleet",
    emptyPlan({ deckies: [part("a", ["create a-http"]), part("b", [])] }),
    emptyPlan({ deckies: [part("a", ["recreate a-http"])] }),
    ["- a: create a-http (requested)", "- change b on edge-1", "+ a: recreate a-http (requested)"],
  ],
  [
    "a container that was made again by somebody else",
    plan(["create web-http"], { observed: ["web 11 running since t1", "web-ssh 22 running since t2", "web-ftp 44 restarts"] }),
    plan(["create web-http"], { observed: ["web 11 running since t1", "web-ssh 33 running since t3"] }),
    ["web-ssh was 22 running since t2, and is 33 running since t3"],
  ],
  [
    "a container of a decky of a fleet that was stopped",
    emptyPlan({ deckies: [{ ...part("a", []), plan: plan([], { observed: ["a-ssh 22 running since t2"] }) }] }),
    emptyPlan({ deckies: [{ ...part("a", []), plan: plan([], { observed: ["a-ssh 22 exited since t2"] }) }] }),
    ["a-ssh was 22 running since t2, and is 22 exited since t2"],
  ],
  [
    "a plan that nobody remembers",
    undefined,
    plan(["create web-http"]),
    ["the plan that was shown is not known any more", "now: create web-http (requested)"],
  ],
])("%s", (_, before, after, moved) => expect(planDifference(before, after)).toEqual(moved));

it("a long difference is cut", () => {
  const many = plan(Array.from({ length: 100 }, (_, index) => `create web-${index}`));
  expect(planDifference(plan([]), many)).toHaveLength(21);
  expect(planDifference(plan([]), many).at(-1)).toBe("and 80 more");
});

it("remembers the plans that were shown last", () => {
  const at = new Date(7);
  const shown = createShownPlans(() => at);
  for (let number = 0; number < 1_001; number += 1) shown.remember(plan([], { digest: `d${number}` }));
  expect(shown.find("d0")).toBeUndefined();
  expect(shown.find("d1000")).toEqual({ plan: plan([], { digest: "d1000" }), at });
});

it("names who did something since a plan was shown", () => {
  const did = (id: string, more: Partial<NewOperation>, seconds: number) =>
    makeOperation({ id, kind: "add_service", actor: "ann", createdAt: new Date(seconds * 1_000), ...more });
  const operations = [
    did("op-3", { kind: "repair", actor: "drift", deckyName: "web" }, 9),
    did("op-2", { deckyName: "web", service: "ftp" }, 8),
    did("op-1", { deckyName: "web", service: "ssh" }, 6),
  ];
  expect(doneSince({ at: new Date(7_000) }, operations)).toEqual([
    "meanwhile: repair of web by drift at 1970-01-01T00:00:09.000Z (op-3)",
    "meanwhile: add service ftp of web by ann at 1970-01-01T00:00:08.000Z (op-2)",
  ]);
});
