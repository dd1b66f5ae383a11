import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import type { Engine } from "@decnet/engine/engine";
import { beginReceipt, joinReceipts } from "@decnet/engine/execute/receipt";
import type { PlanView } from "@decnet/engine/plan/plan";
import { deckyKey, type Scope } from "@decnet/engine/spec";
import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import type { HostOutcome, StepReport } from "@decnet/engine/wire/outcome";
import type { SpecStore } from "./spec-store.ts";
import { createTurns } from "./turns.ts";

export interface RunOptions {
  /** Refuse with PLAN_CHANGED unless the plan made now has this digest. Empty: any plan. */
  readonly expectedDigest: string;
  readonly onPlan: (plan: PlanView) => void;
  readonly onStep: (event: StepReport) => void;
}

/**
 * Runs what the master asks for, and repairs. Invariants: one decky has one run at a time; different deckies run side by
 * side, at most `parallel` of them; a newer revision ends the run of an older one and is begun after that has settled; an
 * older revision is refused; a spec is on disk before its first step runs.
 */
export interface Runner {
  plan(target: PresentTarget | AbsentDecky): Promise<PlanView>;
  apply(target: PresentTarget, options: RunOptions): Promise<HostOutcome>;
  /** Idempotent. The spec is forgotten when everything is gone. */
  remove(decky: AbsentDecky, options: RunOptions): Promise<HostOutcome>;
  /**
   * Applies the accepted spec of a decky again. Undefined when there is nothing to report: something newer came meanwhile, or
   * an apply that was cut off was brought to its end, for which the master asks again.
   */
  repair(key: string, options: RunOptions): Promise<HostOutcome | undefined>;
  isBusy(key: string): boolean;
  /** How often a run of this decky began or ended: what was seen of it before is old when this has changed. */
  turns(key: string): number;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

export interface AbsentDecky {
  readonly kind: "absent";
  readonly scope: Scope;
  readonly name: string;
}

export interface RunnerOptions {
  readonly engine: Engine;
  readonly specs: SpecStore;
  readonly parallel: number;
  readonly stopping: AbortSignal;
  readonly log: Logger;
  readonly onApplied?: (result: "applied" | "failed", durationMs: number) => void;
}

export function createRunner({ engine: ownEngine, specs, parallel, stopping, log, onApplied }: RunnerOptions): Runner {
  const engine: Pick<Engine, "plan" | "apply"> = {
    plan: ownEngine.plan,
    async apply(target, options) {
      const startedAt = performance.now();
      const outcome = await ownEngine.apply(target, options);
      onApplied?.(outcome.failure === undefined ? "applied" : "failed", performance.now() - startedAt);
      return outcome;
    },
  };
  const turns = createTurns(parallel, stopping);

  const superseded = (key: string, revision: number, newer: number) =>
    new AppError("REVISION_CONFLICT", `${key} was told revision ${newer} already; revision ${revision} comes too late`, {
      metadata: { decky: key, expected: String(revision), actual: String(newer) },
    });

  const refuseOlder = (target: PresentTarget) => {
    const key = deckyKey(target.spec);
    const known = specs.get(key);
    if (known !== undefined && known.target.id === target.id && known.target.spec.revision > target.spec.revision)
      throw superseded(key, target.spec.revision, known.target.spec.revision);
  };

  /** Ends the run of an older revision; what waits behind it goes on as soon as that has settled. */
  const supersede = (key: string, revision: number) =>
    turns.supersede(key, revision, (running) => superseded(key, running, revision));

  const tell = (what: string, key: string, { plan, failure }: Pick<HostOutcome, "plan" | "failure">, revision?: number) => {
    const subject = { decky: key, ...(revision === undefined ? {} : { revision }), steps: plan.steps.length };
    if (failure === undefined) log.info(what, subject);
    else log.info(`${what} without success`, { ...subject, step: failure.step?.verb ?? "", message: failure.message });
  };

  const absentRevision = Number.MAX_SAFE_INTEGER;

  const runRemoval = async (decky: AbsentDecky, options: RunOptions, signal: AbortSignal): Promise<HostOutcome> => {
    const key = deckyKey(decky);
    const known = specs.get(key);
    if (known !== undefined) await specs.put({ ...known, leaving: true, outcome: undefined });
    const outcome = await engine.apply(decky, { ...options, signal });
    tell("a decky was removed", key, outcome);
    if (outcome.failure === undefined) await specs.forget(key);
    return outcome;
  };

  /** One run for a revision, from wherever an earlier run for it was cut off. */
  const runApply = async (target: PresentTarget, options: RunOptions, signal: AbortSignal): Promise<HostOutcome> => {
    const known = specs.get(deckyKey(target.spec));
    const isSame = known?.target.id === target.id && known.target.spec.revision === target.spec.revision;
    const earlier = isSame ? known : undefined;
    let begun = earlier?.begun;
    const outcome = await engine.apply(target, {
      // A plan that was begun was the expected one then; what was made of it since is no reason to refuse it.
      expectedDigest: earlier === undefined ? options.expectedDigest : "",
      onObserved(before, plan) {
        begun ??= { plan, receipt: beginReceipt(plan, before), judged: undefined, failure: undefined };
      },
      async onPlan(plan) {
        await specs.put({ target, leaving: false, hold: false, outcome: earlier?.outcome, begun });
        options.onPlan(plan);
      },
      onStep: options.onStep,
      signal,
    });
    // Done already in a run whose outcome was lost: what that run said is the true outcome.
    const isRepeated = outcome.plan.steps.length === 0 && earlier?.outcome !== undefined && earlier.outcome.failure === undefined;
    const receipt = begun === undefined ? outcome.receipt : joinReceipts(begun.receipt, outcome.receipt);
    const told = isRepeated ? earlier.outcome : { plan: outcome.plan, receipt, failure: outcome.failure };
    const final = { ...told, judged: outcome.judged };
    const hold = outcome.failure !== undefined;
    tell("a decky was applied", deckyKey(target.spec), outcome, target.spec.revision);
    await specs.put({ target, leaving: false, hold, outcome: final, begun });
    return final;
  };

  return {
    async plan(target) {
      return (await engine.plan(target)).plan;
    },
    async apply(target, options) {
      const key = deckyKey(target.spec);
      refuseOlder(target);
      supersede(key, target.spec.revision);
      return turns.take(key, target.spec.revision, async (signal) => {
        refuseOlder(target);
        return runApply(target, options, signal);
      });
    },
    async remove(decky, options) {
      const key = deckyKey(decky);
      supersede(key, absentRevision);
      return turns.take(key, absentRevision, (signal) => runRemoval(decky, options, signal));
    },
    async repair(key, options) {
      if (specs.get(key) === undefined) return undefined;
      return turns.take(key, 0, async (signal) => {
        const now = specs.get(key);
        if (now === undefined || now.hold) return undefined;
        const { scope, name } = now.target.spec;
        if (now.leaving) return runRemoval({ kind: "absent", scope, name }, options, signal);
        if (now.outcome === undefined) {
          await runApply(now.target, options, signal);
          return undefined;
        }
        const outcome = await engine.apply(now.target, { ...options, signal });
        tell("a decky was repaired", key, outcome, now.target.spec.revision);
        return outcome;
      });
    },
    isBusy: turns.isBusy,
    turns: turns.count,
    idle: turns.idle,
  };
}
