import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { inSpan } from "@decnet/common/tracing/spans";
import type { Catalog } from "@decnet/engine/catalog/types";
import { isNotObserved } from "@decnet/engine/observe/not-observed";
import type { DecisionContext } from "../decide/context.ts";
import type { Resolution } from "../decide/resolution.ts";
import { type AttemptEnd, resolveAttempt } from "../decide/resolve-attempt.ts";
import { refusesToWait, resolveBegin, resolveGiveUp } from "../decide/resolve-waiting.ts";
import { desiredServices, type Situation } from "../decide/situation.ts";
import type { Attempt } from "../decide/undo.ts";
import { isAway, isRefusal } from "../links/host-link.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { makeOperationId, type PlanRecord, refusalError } from "../model/operation.ts";
import { toTarget } from "../model/spec.ts";
import type { Lease } from "../store/leases.ts";
import type { Committed } from "../store/resolver.ts";
import type { Store } from "../store/store.ts";
import type { Board } from "./board.ts";
import type { Parents } from "./parents.ts";
import { createProgress, type Progress, type ProgressOptions, recordedOperation } from "./progress.ts";

export interface AttemptsOptions {
  readonly store: Store;
  readonly board: Board;
  readonly parents: Parents;
  readonly hosts: Pick<HostRegistry, "link" | "leaseOf" | "wantResync">;
  readonly catalog: Catalog;
  readonly log: Logger;
  readonly stopping: AbortSignal;
  readonly onApplied: (result: "applied" | "failed", durationMs: number) => void;
}

/** Applies what is wanted of one decky, once, and stores what that means. */
export interface Attempts {
  /** Returns whether there may be more to do at once. Throws when the host or the database is away. */
  make(situation: Situation): Promise<boolean>;
  /** What has to be done before the apply was refused for good. Returns whether there may be more to do at once. */
  refused(situation: Situation, error: AppError): Promise<boolean>;
  /** Nothing goes on before a host is back that is away: ends the operations whose callers do not want to wait for it. */
  giveUp(situation: Situation, error: AppError): Promise<void>;
  /** Ends the step that runs now for the decky, when it is made for this operation; an undo of it goes on. */
  interrupt(deckyId: string, operationId: string): void;
}

class Interrupted extends Error {}

type Held = Attempt & { readonly lease: Lease };
type Decide = (now: Situation) => Resolution;

const mostDefects = 2;
/** So many looks in a row may fail at a decky whose change is taken back. */
const mostUnseen = 4;
/** Operations that one attempt is for, in its span. */
const mostNamed = 20;

export function createAttempts(options: AttemptsOptions): Attempts {
  const attempts = createUntraced(options);
  return {
    ...attempts,
    make(situation) {
      const parent = options.store.origins.parentOf(situation.open.map(({ id }) => id));
      return inSpan("attempt", { ...aboutDecky(situation), parent }, () => attempts.make(situation));
    },
  };
}

function createUntraced(options: AttemptsOptions): Attempts {
  const { hosts, catalog, stopping } = options;
  const { resolver, operations, events } = options.store;
  const refusals = createRefusals();
  const running = new Map<string, { readonly open: Attempt["open"]; readonly interruption: AbortController }>();
  const context = (): DecisionContext => ({ catalog, now: new Date(), makeId: makeOperationId, random: Math.random });

  /** Undefined when there is nothing to do any more. */
  const begin = async (situation: Situation, lease: Lease): Promise<Situation | undefined> => {
    if (resolveBegin(situation, context()) === undefined) return situation;
    const decide = (now: Situation) => resolveBegin(now, context());
    const begun = await resolver.resolve({ decky: { id: situation.decky.id }, from: situation, decide, lease: () => lease });
    if (begun !== undefined) events.wake();
    return begun?.after;
  };

  const apply = async (attempt: Attempt, progress: Progress): Promise<AttemptEnd> => {
    const { decky, services, revision, open } = attempt;
    const interruption = new AbortController();
    running.set(decky.id, { open, interruption });
    const startedAt = performance.now();
    let cutOffBy = "its apply ended";
    try {
      const single = open.length === 1 ? open[0] : undefined;
      const target = toTarget(decky, services, revision, decky.leaving);
      const outcome = await inSpan("apply on host", { attributes: { "decnet.host": decky.host } }, () =>
        hosts.link(decky.host).apply(target, {
          expectedDigest: single?.error === null ? single.expectedPlan : "",
          onPlan: progress.onPlan,
          onStep: progress.onStep,
          signal: AbortSignal.any([stopping, interruption.signal]),
        }),
      );
      refusals.forget(decky.id);
      options.onApplied(outcome.failure === undefined ? "applied" : "failed", performance.now() - startedAt);
      return { kind: "done", outcome };
    } catch (error) {
      cutOffBy = interruption.signal.aborted ? "cancelled" : error instanceof Error ? error.message : String(error);
      if (isAnswer(error) && !refusals.mayLookAgain(attempt, error)) return { kind: "refused", error: refusalError(error) };
      if (interruption.signal.aborted && !stopping.aborted && !(isAway(error) && open.some(refusesToWait)))
        return { kind: "interrupted" };
      if (!stopping.aborted && refusals.isForGood(decky.id, error)) return { kind: "refused", error: refusalError(error) };
      throw error;
    } finally {
      running.delete(decky.id);
      await progress.stop(cutOffBy);
    }
  };

  /** Stored only as long as nobody else gets the host. */
  const store = async (situation: Situation, { lease }: Held, decide: Decide, progress: Progress | undefined) => {
    const committed = await resolver.resolve({
      decky: { id: situation.decky.id },
      from: situation,
      decide: (now) => withPlans(now, decide(now), progress?.plans),
      steps: progress?.steps ?? [],
      lease: () => lease,
    });
    tellEnds(committed, situation, progress, options);
    return committed?.resolution.again ?? false;
  };

  const settle = async (situation: Situation, attempt: Held, end: AttemptEnd, progress?: Progress): Promise<boolean> => {
    const again = await store(situation, attempt, (now) => resolveAttempt(now, attempt, end, context()), progress);
    // Nobody looked at it since: its host says how it is.
    if (end.kind !== "done") hosts.wantResync(attempt.decky.host);
    return again;
  };

  /** The host went away under somebody who does not want to wait for it. */
  const giveUp = async (situation: Situation, attempt: Held, error: AppError, progress?: Progress): Promise<void> => {
    await store(situation, attempt, (now) => resolveGiveUp(now, attempt, error, context()), progress);
  };

  const attemptNow = (situation: Situation) => attemptOf(situation, hosts.leaseOf(situation.decky.host));

  return {
    async make(found) {
      const lease = hosts.leaseOf(found.decky.host);
      const situation = await begin(found, lease);
      if (situation === undefined) return true;
      const { open } = situation;
      const { appliedRevision } = situation.decky;
      const attempt = attemptOf(situation, lease);
      // Cancelled while nothing ran for it, such as while its host was away: it is not applied once more, but undone.
      if (open.some((operation) => operation.cancelRequested && operation.error === null))
        return settle(situation, attempt, { kind: "interrupted" });
      const number = (situation.attempts.get(recordedOperation(open)?.id ?? "") ?? 0) + 1;
      // An earlier attempt that was cut off with its master left steps behind.
      if (number > 1) await operations.cutOffSteps({ ids: open.map(({ id }) => id), lease });
      const record: ProgressOptions["record"] = async (plans, steps) => {
        await operations.recordProgress(plans, steps, lease);
        options.board.progressed(open.map(({ id }) => id));
      };
      const progress = createProgress({ log: options.log, open, appliedRevision, attempt: number, record });
      try {
        return await settle(situation, attempt, await apply(attempt, progress), progress);
      } catch (error) {
        if (isAway(error) && open.some(refusesToWait)) {
          await giveUp(situation, attempt, error, progress);
          return false;
        }
        if (progress.steps.length > 0) await record(progress.plans, progress.steps);
        throw error;
      }
    },
    refused: (situation, error) => settle(situation, attemptNow(situation), { kind: "refused", error: refusalError(error) }),
    giveUp: (situation, error) => giveUp(situation, attemptNow(situation), error),
    interrupt(deckyId, operationId) {
      const present = running.get(deckyId);
      const isFor = present?.open.some(({ id, error }) => id === operationId && error === null);
      if (isFor) present?.interruption.abort(new Interrupted("cancelled by an operator"));
    },
  };
}

function attemptOf(situation: Situation, lease: Lease): Held {
  const { decky, open } = situation;
  return { decky, revision: decky.desiredRevision, services: desiredServices(situation), open, lease };
}

function isAnswer(error: unknown): error is AppError {
  return error instanceof AppError && (error.reason === "PLAN_CHANGED" || isNotObserved(error));
}

/** A defect of an agent may pass, and does not when it comes again and again. The same goes for a look that failed. */
function createRefusals() {
  /** How often in a row the decky could not be observed while a change was taken back. */
  const unseen = new Map<string, number>();
  /** How often in a row the host of a decky failed with a defect. */
  const defects = new Map<string, number>();
  return {
    forget(deckyId: string) {
      defects.delete(deckyId);
      unseen.delete(deckyId);
    },
    /** While changes are taken back nobody asks for anything any more: there is time for another look. */
    mayLookAgain({ decky, open }: Attempt, failure: AppError): boolean {
      if (!isNotObserved(failure) || open.some(({ error }) => error === null)) return false;
      const count = (unseen.get(decky.id) ?? 0) + 1;
      if (count < mostUnseen) unseen.set(decky.id, count);
      else unseen.delete(decky.id);
      return count < mostUnseen;
    },
    isForGood(deckyId: string, error: unknown): error is AppError {
      const count = error instanceof AppError && error.reason === "INTERNAL" ? (defects.get(deckyId) ?? 0) + 1 : 0;
      if (count > 0 && count < mostDefects) defects.set(deckyId, count);
      else defects.delete(deckyId);
      return count >= mostDefects || (isRefusal(error) && !isNotObserved(error));
    },
  };
}

/** The plans that were made for open operations belong to their record, whatever becomes of them. */
function withPlans({ open }: Situation, resolution: Resolution, plans: ReadonlyMap<string, PlanRecord> = new Map()): Resolution {
  if (plans.size === 0) return resolution;
  const changed = new Set(resolution.operations.map(({ operation }) => operation.id));
  const planOf = (id: string) => {
    const plan = plans.get(id);
    return plan === undefined ? {} : { plan };
  };
  const others = open.filter(({ id }) => plans.has(id) && !changed.has(id));
  return {
    ...resolution,
    operations: [
      ...resolution.operations.map(({ operation, patch }) => ({ operation, patch: { ...planOf(operation.id), ...patch } })),
      ...others.map((operation) => ({ operation, patch: planOf(operation.id) })),
    ],
  };
}

/** Tells of ended operations. One that had a single attempt is known here as a whole, and is handed over. */
function tellEnds(
  committed: Committed | undefined,
  { attempts }: Situation,
  progress: Progress | undefined,
  { board, parents, store }: Pick<AttemptsOptions, "board" | "parents" | "store">,
): void {
  if (committed === undefined) return;
  const steps = progress?.steps ?? [];
  board.ended(
    committed.ended.map((row) => {
      const record = { row, steps: steps.filter((step) => step.operationId === row.id), children: [] };
      return { id: row.id, record: attempts.has(row.id) ? undefined : record };
    }),
  );
  parents.note(committed.ended.map((row) => row.parent));
  store.events.wake();
}

function aboutDecky({ decky, open }: Situation) {
  const operations = open.map(({ id }) => id).slice(0, mostNamed);
  return {
    attributes: { "decnet.decky": decky.name, "decnet.host": decky.host, "decnet.operations": operations },
  };
}
