import { isDeepStrictEqual } from "node:util";
import { isRested, mayRepairAt } from "@decnet/common/runtime/repair-pace";
import type { CheckedDecky } from "@decnet/engine/engine";
import { formatPlan, type Plan } from "@decnet/engine/plan/plan";
import { type Decky, type DeckyPatch, type DriftPolicy, isUnapplied, observedOf } from "../model/decky.ts";
import { stateEvent } from "../model/events.ts";
import { makeOperation, toPlanRecord } from "../model/operation.ts";
import { type Resolution, resolution } from "./resolution.ts";

/** A drift check saw a decky that nobody is changing. */
export interface Checked {
  readonly decky: Decky;
  readonly seen: Pick<CheckedDecky, "judged" | "plan">;
  readonly policy: DriftPolicy;
  readonly checkedAt: Date;
  /** It is repaired now, however lately it was. */
  readonly isEarly?: boolean;
  /** Names the repair. */
  readonly makeId: () => string;
}

/**
 * Stores what was seen, and begins a repair of what drifted when that may be repaired now. Undefined when all is as it is stored,
 * and nothing is begun. What a repair would not get past is only said: once that is out of the way, the next drift check repairs.
 * What is wanted and was never seen is not repaired here, but tried again. Pure.
 */
export function resolveDrift({ decky, seen, policy, checkedAt, isEarly = false, makeId }: Checked): Resolution | undefined {
  const { state, message } = seen.judged;
  const isDrifted = !isQuiet(seen.plan);
  const blocked = seen.plan.steps.flatMap((step) => (step.verb === "blocked" ? [step.cause] : []));
  const inTheWay = blocked.filter((cause) => !message.includes(cause));
  const told = [message === "" && isDrifted && blocked.length === 0 ? formatPlan(seen.plan) : message, ...inTheWay]
    .filter((part) => part !== "")
    .join("; ");
  const isWell = !isDrifted && state === "running" && isRested(decky, checkedAt);
  const patch: DeckyPatch = {
    state,
    message: told,
    // What could not be observed stays as it was last seen, and is not said to be so now.
    ...(state === "unknown" ? {} : { observed: observedOf(seen.judged) }),
    ...(isWell ? { failures: 0, retryAt: null, retryCause: "" } : {}),
  };
  const common = {
    decky: { kind: "patch", patch: { ...patch, ...(state === "unknown" ? {} : { observedAt: checkedAt }) } },
    events: stateEvent(decky, state, told),
  } as const;
  const isDue = isEarly || mayRepairAt(decky, checkedAt);
  const mayRepair = policy === "repair" && blocked.length === 0 && !decky.repairPaused && isDue;
  if (!isDrifted || !mayRepair || isUnapplied(decky)) {
    const isSame = isDeepStrictEqual(
      patch,
      Object.fromEntries(Object.keys(patch).map((key) => [key, decky[key as keyof Decky]])),
    );
    return isSame ? undefined : resolution(isDrifted ? "drifted" : "seen", common);
  }
  const repair = makeOperation({
    id: makeId(),
    createdAt: checkedAt,
    kind: "repair",
    actor: "drift",
    reason: told,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: decky.host,
    revision: decky.desiredRevision,
    plan: toPlanRecord(seen.plan, formatPlan(seen.plan), decky.appliedRevision, []),
  });
  return resolution("drift is repaired", { ...common, opens: [repair], again: true });
}

/** Waiting for a port that does not listen yet is nothing to do. */
export function isQuiet(plan: Pick<Plan, "steps">): boolean {
  return plan.steps.every((step) => step.verb === "settle");
}
