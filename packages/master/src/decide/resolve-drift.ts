import type { CheckedDecky } from "@decnet/engine/engine";
import { formatPlan, type Plan } from "@decnet/engine/plan/plan";
import type { Decky, DriftPolicy } from "../model/decky.ts";
import { stateEvent } from "../model/events.ts";
import { makeOperation, toPlanRecord } from "../model/operation.ts";
import { type Resolution, resolution } from "./resolution.ts";

/** A drift check saw a decky that nobody is changing. */
export interface Checked {
  readonly decky: Decky;
  readonly seen: Pick<CheckedDecky, "judged" | "plan">;
  readonly policy: DriftPolicy;
  readonly checkedAt: Date;
}

/** Stores what was seen, and begins a repair of what drifted when that may be repaired now. Pure. */
export function resolveDrift({ decky, seen, policy, checkedAt }: Checked): Resolution {
  const { state, message, baseId, services } = seen.judged;
  const isDrifted = !isQuiet(seen.plan);
  const told = isDrifted && message === "" ? formatPlan(seen.plan) : message;
  const mayRepair = policy === "repair" && !decky.repairPaused && (decky.retryAt === null || decky.retryAt <= checkedAt);
  // What could not be observed stays as it was last seen, and is not said to be so now.
  const seenNow = state === "unknown" ? {} : { observed: { baseId, services }, observedAt: checkedAt };
  const common = {
    decky: { kind: "patch", patch: { state, message: told, ...seenNow } },
    events: stateEvent(decky, state, told),
  } as const;
  if (!isDrifted) return resolution("seen", common);
  if (!mayRepair) return resolution("drifted", common);
  const repair = makeOperation({
    kind: "repair",
    actor: "drift",
    reason: told,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: decky.host,
    revision: decky.desiredRevision,
    onFailure: "keep",
    plan: toPlanRecord(seen.plan, formatPlan(seen.plan), decky.appliedRevision, []),
  });
  return resolution("drift is repaired", { ...common, opens: [repair], again: true });
}

/** Waiting for a port that does not listen yet is nothing to do. */
export function isQuiet(plan: Pick<Plan, "steps">): boolean {
  return plan.steps.every((step) => step.verb === "settle");
}
