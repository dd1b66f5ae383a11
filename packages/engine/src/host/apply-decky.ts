import { AppError } from "@decnet/common/errors/app-error";
import { inSpan } from "@decnet/common/tracing/spans";
import { type JudgedDecky, judgeDecky } from "../diagnose/judge.ts";
import { executePlan, releaseNetwork, type StepEvent, type StepFailure } from "../execute/execute-plan.ts";
import { makeReceipt, type Receipt } from "../execute/receipt.ts";
import { observeContainments } from "../observe/observe-containment.ts";
import { observeDecky } from "../observe/observe-decky.ts";
import { observeLeavings } from "../observe/observe-host.ts";
import type { ObservedDecky } from "../observe/observed.ts";
import { formatPlan, type Plan } from "../plan/plan.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { type DeckySpec, type DeckyTarget, deckyKey, targetKey } from "../spec.ts";
import { diagnoseFor } from "./diagnose-for.ts";
import { type HostLook, lookAtHost } from "./host-look.ts";
import type { HostParts } from "./host-parts.ts";
import { guardFor, preparePlan } from "./prepare-plan.ts";
import { troublesOf, withDenied } from "./troubles.ts";

export interface ApplyOptions {
  /** Refuse with PLAN_CHANGED unless the plan made now has this digest. Empty: any plan. */
  readonly expectedDigest: string;
  /** Called with how the decky was found, before onPlan. */
  readonly onObserved?: (before: ObservedDecky, plan: Plan) => void;
  readonly onPlan: (plan: Plan) => Promise<void> | void;
  readonly onStep: (event: StepEvent) => Promise<void> | void;
  readonly signal: AbortSignal;
}

export interface ApplyOutcome {
  readonly plan: Plan;
  readonly receipt: Receipt;
  readonly observed: ObservedDecky;
  /** Undefined for a decky that is to be gone. */
  readonly judged: JudgedDecky | undefined;
  /** Undefined when the decky is as wanted. */
  readonly failure: StepFailure | undefined;
}

async function containmentsOf({ containment, links }: HostLook, spec: DeckySpec, observed: ObservedDecky) {
  const isBridged = spec.attachments.every(({ lan }) => lan.driver === "bridge");
  return observeContainments(containment, spec, { observed, links: isBridged ? undefined : await links() });
}

/** Observes, plans, executes, and observes again. */
export function applyDecky(parts: HostParts, target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome> {
  const apply = () =>
    inSpan("apply", { attributes: { "decnet.decky": targetKey(target) } }, () => applyNow(parts, target, options));
  if (target.kind === "absent") return apply();
  // In one order for all, so that no two wait for each other.
  const lans = target.spec.attachments.map(({ lan }) => lan.name).sort();
  return lans.reduceRight((work, lan) => () => parts.lanUse.during(lan, options.signal, work), apply)();
}

async function applyNow(parts: HostParts, target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome> {
  const { expectedDigest, onObserved, onPlan, onStep, signal } = options;
  const { plan, observed: before, rendered, folder } = await inSpan("observe and plan", {}, () => preparePlan(parts, target));
  if (expectedDigest !== "" && expectedDigest !== plan.digest)
    throw new AppError("PLAN_CHANGED", `the decky changed on its host since the plan was made; it is now: ${formatPlan(plan)}`, {
      metadata: { expected: expectedDigest, actual: plan.digest },
    });
  onObserved?.(before, plan);
  await onPlan(plan);
  const decky = target.kind === "present" ? target.spec : target;
  const failure = await executePlan(plan, { ...parts, decky, folder, rendered, onStep, signal });
  if (target.kind === "absent" && failure === undefined) await releaseEmptied(parts, decky, signal);
  const { observed, judged } = await inSpan("observe and judge", {}, () => judgeAfter(parts, before, rendered));
  return { plan, receipt: makeReceipt(plan, before, observed), observed, judged, failure };
}

/**
 * A command that was cut off in the middle is ended by the engine in its own time: it may have put the base on one more network
 * after the plan was made, and the decky that planned to leave that network last found it in use.
 */
async function releaseEmptied(parts: HostParts, decky: Pick<DeckySpec, "scope" | "name">, signal: AbortSignal): Promise<void> {
  const { networks } = await observeLeavings(deckyKey(decky), { ...parts, look: lookAtHost(parts) });
  for (const { isAdopted = false, ...each } of networks)
    if (!isAdopted) await releaseNetwork({ ...each, isAdopted }, { ...parts, signal });
}

async function judgeAfter(parts: HostParts, before: ObservedDecky, rendered: RenderedDecky | undefined) {
  if (rendered === undefined) return { observed: await observeDecky(parts, before), judged: undefined };
  const { spec } = rendered;
  const look = lookAtHost(parts);
  const [observed, published, admissions] = await Promise.all([
    observeDecky(parts, before),
    look.publications.of(spec, rendered.publications),
    look.admissions.of(spec),
  ]);
  const [diagnosed, containments, guard] = await Promise.all([
    diagnoseFor(parts, rendered, observed),
    containmentsOf(look, spec, observed),
    guardFor(parts, rendered, observed),
  ]);
  const troubles = troublesOf(rendered, { containments, published, guard, admissions });
  return { observed, judged: withDenied(judgeDecky(diagnosed, troubles), guard) };
}
