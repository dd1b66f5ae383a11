import { create } from "@bufbuild/protobuf";
import { PlanSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { expect, it } from "vitest";
import { type ConfirmInput, questionsFor } from "./confirm.ts";

const context = { name: "prod", isProtected: false, isNamed: false, confirm: undefined };
const cut = create(PlanSchema, { risks: [{ code: "cut-sessions", message: "1 open session" }] });
const base = create(PlanSchema, { risks: [{ code: "restart-base", message: "ALL 4 services restart" }] });
const typed = { name: "corp", accept: "teardown=corp" };

const flagsFor = (input: Partial<ConfirmInput>) =>
  questionsFor({ plan: undefined, accepted: [], yes: false, asks: true, typed: undefined, context, ...input }).map(
    (question) => question.flags,
  );

it.each<[string, Partial<ConfirmInput>, string[]]>([
  ["an add asks nothing", { asks: false }, []],
  ["a change asks for a yes", {}, ["-y"]],
  ["-y is that yes", { yes: true }, []],
  ["-y covers no named risk", { yes: true, plan: cut }, ["--accept cut-sessions"]],
  ["an accepted risk is a yes", { plan: cut, accepted: ["cut-sessions"] }, []],
  ["one risk does not cover another", { plan: base, accepted: ["cut-sessions"] }, ["--accept restart-base"]],
  ["an add with a risk asks for it", { asks: false, plan: base }, ["--accept restart-base"]],
  ["the biggest acts want a name", { typed, yes: true }, ["--accept teardown=corp"]],
  ["and another name is not that name", { typed, accepted: ["teardown=lab"] }, ["--accept teardown=corp"]],
  ["and the name is enough", { typed, accepted: ["teardown=corp"] }, []],
  [
    "a protected context wants its name, for adds too",
    { asks: false, yes: true, context: { ...context, isProtected: true } },
    ["--context prod --accept prod"],
  ],
  [
    "which must be given as a flag",
    { accepted: ["prod"], context: { ...context, isProtected: true } },
    ["--context prod --accept prod"],
  ],
  ["and then is a yes", { accepted: ["prod"], context: { ...context, isProtected: true, isNamed: true } }, []],
  [
    "but accepts no risk",
    { plan: cut, accepted: ["prod"], context: { ...context, isProtected: true, isNamed: true } },
    ["--accept cut-sessions"],
  ],
  [
    "protection wins over never",
    { yes: true, context: { ...context, isProtected: true, confirm: "never" } },
    ["--context prod --accept prod"],
  ],
  ["never asks nothing", { plan: cut, context: { ...context, confirm: "never" } }, []],
  ["risky asks for risks alone", { context: { ...context, confirm: "risky" } }, []],
  ["risky asks for risks", { plan: cut, context: { ...context, confirm: "risky" } }, ["--accept cut-sessions"]],
  ["always asks for adds", { asks: false, context: { ...context, confirm: "always" } }, ["-y"]],
])("%s", (_, input, flags) => {
  expect(flagsFor(input)).toEqual(flags);
});
