import { create } from "@bufbuild/protobuf";
import type { Logger } from "@decnet/common/logging/logger";
import { isRested, mayRepairAt, paceAfter, type RepairPace } from "@decnet/common/runtime/repair-pace";
import type { DeckyObservation, DeckyOutcome } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { EngineReportSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { CheckedDecky, Engine } from "@decnet/engine/engine";
import { formatPlan } from "@decnet/engine/plan/plan";
import { type DeckySpec, deckyKey } from "@decnet/engine/spec";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import { toObservationMessage } from "@decnet/engine/wire/outcome";
import type { ReportQueue } from "../reports/report-queue.ts";
import { repairDecky } from "./repair.ts";
import type { Runner } from "./runner.ts";
import type { AcceptedDecky, SpecStore } from "./spec-store.ts";

export type DriftPolicy = "repair" | "report";

export interface WatchOptions {
  readonly engine: Pick<Engine, "check">;
  readonly specs: Pick<SpecStore, "list" | "get">;
  readonly runner: Pick<Runner, "repair" | "isBusy" | "turns">;
  readonly reports: Pick<ReportQueue, "push">;
  readonly policy: () => DriftPolicy;
  readonly log: Logger;
}

/**
 * Checks the host against the accepted specs, with or without a master: says what changed since it was last said, and repairs
 * what drifted.
 */
export interface Watch {
  /** Because the engine is there again (`isEarly`): no pause between repairs counts, what went went with it. */
  check(isEarly?: boolean): Promise<void>;
  /** Milliseconds since the last drift check that the engine answered; undefined before the first. */
  checkedMsAgo(): number | undefined;
  /** Say everything again at the next drift check. */
  forgetWhatWasSaid(): void;
  /** The master is being told how an apply ended: a drift check that sees just that does not say it again. */
  noteOutcome(outcome: DeckyOutcome): void;
  /** It may not have been told after all. */
  forgetOutcome(outcome: DeckyOutcome): void;
  /** Resolves when no repair runs any more. */
  idle(): Promise<void>;
}

export function createWatch({ engine, specs, runner, reports, policy, log }: WatchOptions): Watch {
  const said = new Map<string, string>();
  /** Of a spec, not of a name: what is told to be otherwise is tried at once. */
  let paces = new WeakMap<DeckySpec, RepairPace>();
  const repairs = new Map<string, Promise<void>>();
  let engineProblem = "";
  let checkedAt: number | undefined;

  const sayEngine = async (problem: string) => {
    if (problem === engineProblem) return;
    engineProblem = problem;
    if (problem !== "") said.clear();
    await reports.push({ case: "engine", value: create(EngineReportSchema, { problem }) });
  };

  const sayDecky = async (observation: DeckyObservation) => {
    const key = deckyKey(parseDeckyRef(observation.decky));
    const text = textOf(observation);
    if (said.get(key) === text) return;
    said.set(key, text);
    await reports.push({ case: "observation", value: observation });
  };

  const repair = async (decky: AcceptedDecky, plan: CheckedDecky["plan"] | undefined) => {
    const { spec } = decky.target;
    const done = await repairDecky(runner, spec, plan === undefined ? "removal was cut off" : formatPlan(plan));
    if (done === undefined) return;
    paces.set(spec, paceAfter(paces.get(spec) ?? unhurried, done.whyInVain, new Date(), Math.random));
    if (done.report !== undefined) await reports.push({ case: "repair", value: done.report });
  };

  /** In the background: a repair that takes long does not hold up the checks of the other deckies. */
  const beginRepair = (decky: AcceptedDecky, plan: CheckedDecky["plan"] | undefined) => {
    const key = deckyKey(decky.target.spec);
    if (repairs.has(key)) return;
    const work = repair(decky, plan)
      .catch((error: unknown) => log.warn("a decky could not be repaired", { decky: key, err: error }))
      .finally(() => repairs.delete(key));
    repairs.set(key, work);
  };

  const note = async (decky: AcceptedDecky, seen: CheckedDecky, at: Date): Promise<void> => {
    const { spec } = decky.target;
    const pace = paces.get(spec) ?? unhurried;
    const { isDrifted, isBlocked, message } = tellDrift(seen);
    if (!isDrifted && seen.judged.state === "running" && isRested(pace, at)) paces.delete(spec);
    const waits = isDrifted && policy() === "repair" && !decky.hold && !isBlocked;
    const told = [message, waits ? pauseOf(pace) : ""].filter((part) => part !== "").join("; ");
    await sayDecky(toObservationMessage(spec, spec.revision, { ...seen.judged, message: told }, at));
    if (waits && mayRepairAt(pace, at)) beginRepair(decky, seen.plan);
  };

  return {
    checkedMsAgo: () => (checkedAt === undefined ? undefined : Math.round(performance.now() - checkedAt)),
    forgetWhatWasSaid() {
      said.clear();
      engineProblem = "";
    },
    noteOutcome({ decky, observation, failure }) {
      if (observation !== undefined && failure === undefined) said.set(deckyKey(parseDeckyRef(decky)), textOf(observation));
    },
    forgetOutcome: ({ decky }) => void said.delete(deckyKey(parseDeckyRef(decky))),
    async idle() {
      await Promise.all(repairs.values());
    },
    async check(isEarly = false) {
      if (isEarly) paces = new WeakMap();
      const at = new Date();
      const begun = performance.now();
      const present = specs
        .list()
        .filter((decky) => !decky.leaving)
        .map((decky) => ({ decky, turns: runner.turns(deckyKey(decky.target.spec)) }));
      let checked: Awaited<ReturnType<Engine["check"]>>;
      try {
        checked = await engine.check(present.map(({ decky }) => decky.target.spec));
      } catch (error) {
        await sayEngine(error instanceof Error ? error.message : String(error));
        return;
      }
      await sayEngine("");
      for (const key of said.keys()) if (specs.get(key) === undefined) said.delete(key);
      const mayAct = ({ target: { spec } }: AcceptedDecky) => mayRepairAt(paces.get(spec) ?? unhurried, at);
      for (const decky of specs.list())
        if (decky.leaving && !runner.isBusy(deckyKey(decky.target.spec)) && mayAct(decky)) beginRepair(decky, undefined);
      for (const { decky, turns } of present) {
        const key = deckyKey(decky.target.spec);
        const seen = checked.deckies.get(key);
        // What was seen while it changed is old: the next check sees how it is now.
        if (seen === undefined || runner.isBusy(key) || runner.turns(key) !== turns) continue;
        await note(decky, seen, at);
      }
      checkedAt = begun;
    },
  };
}

/** What a drift check says of a decky. A repair would not get past what is blocked. */
function tellDrift({ judged, plan }: CheckedDecky): { isDrifted: boolean; isBlocked: boolean; message: string } {
  const isDrifted = plan.steps.some((step) => step.verb !== "settle");
  const blocked = plan.steps.flatMap((step) => (step.verb === "blocked" ? [step.cause] : []));
  const isBlocked = blocked.length > 0;
  const own = isDrifted && !isBlocked && judged.message === "" ? formatPlan(plan) : judged.message;
  return { isDrifted, isBlocked, message: [own, ...blocked].filter((part) => part !== "").join("; ") };
}

const unhurried: RepairPace = { failures: 0, retryAt: null, retryCause: "" };

/** The same until the next repair: it is not news at every drift check. */
function pauseOf({ failures, retryAt, retryCause }: RepairPace): string {
  if (retryAt === null) return "";
  const often = failures === 1 ? "once" : `${failures} times`;
  const vain = retryCause === "" ? "" : `, the last time in vain: ${retryCause}`;
  return `was repaired ${often} lately${vain}; again after ${retryAt.toISOString()}`;
}

/** What makes an observation news: everything but its time. */
function textOf({ observedAt: _, ...observation }: DeckyObservation): string {
  return JSON.stringify(observation);
}
