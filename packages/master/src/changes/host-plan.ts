import { digestOf } from "@decnet/engine/plan/plan";
import type { DeckyChange } from "../decide/decky-change.ts";
import { emptyPlan, type PlanRecord } from "../model/operation.ts";

/** The plan of a change of a host. What each decky's containers will see is planned by the hosts when it comes to that. */
export function hostPlan(changes: readonly DeckyChange[], describe: (change: DeckyChange) => string): PlanRecord {
  const parts = changes.map((change) => {
    const { scope, name, desiredRevision } = change.decky;
    const plan = emptyPlan({ baseRevision: desiredRevision, text: describe(change) });
    return { ...(scope === "fleet" ? {} : { scope }), name, host: change.host, action: change.action, plan };
  });
  const count = changes.length;
  const risk = {
    code: "teardown",
    count,
    message: `${count} ${count === 1 ? "decky leaves" : "deckies leave"} this host`,
    subjects: changes.map(({ decky }) => decky.name),
  } as const;
  return emptyPlan({
    risks: count === 0 ? [] : [risk],
    digest: digestOf(parts.map((part) => [part.name, part.host, part.action, part.plan.baseRevision])),
    text: parts.map((part) => part.plan.text).join("\n") || "nothing to do",
    deckies: parts,
  });
}
