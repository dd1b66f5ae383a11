import type { Operation, PlanRecord } from "../model/operation.ts";

/** A plan as it was shown to somebody. */
export interface ShownPlan {
  readonly plan: PlanRecord;
  readonly at: Date;
}

/** Plans that were shown, so that a refusal can say what moved since. After a restart of the master there are none. */
export interface ShownPlans {
  remember(plan: PlanRecord | null): void;
  find(digest: string): ShownPlan | undefined;
}

const mostRemembered = 1_000;

export function createShownPlans(now: () => Date = () => new Date()): ShownPlans {
  const plans = new Map<string, ShownPlan>();
  return {
    remember(plan) {
      if (plan === null || plan.digest === "") return;
      plans.delete(plan.digest);
      plans.set(plan.digest, { plan, at: now() });
      if (plans.size > mostRemembered) plans.delete(plans.keys().next().value as string);
    },
    find: (digest) => plans.get(digest),
  };
}

const mostLines = 20;

/**
 * What moved from one plan to the other: `+ create web-http (requested)`, `- start web-ssh (exited with code 1)`, then the
 * containers that were found otherwise. Of a plan that is not known any more, all that is to be done now.
 */
export function planDifference(before: PlanRecord | undefined, after: PlanRecord): string[] {
  if (before === undefined)
    return shorten(["the plan that was shown is not known any more", ...linesOf(after).map((line) => `now: ${line}`)]);
  const [was, is] = [linesOf(before), linesOf(after)];
  const gone = was.filter((line) => !is.includes(line)).map((line) => `- ${line}`);
  const come = is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`);
  const moved = [...gone, ...come, ...foundOtherwise(seenIn(before), seenIn(after))];
  if (before.baseRevision !== after.baseRevision) moved.unshift(`revision ${before.baseRevision} is ${after.baseRevision} now`);
  return moved.length > 0 ? shorten(moved) : ["the steps and the containers are the same, and what they are made from is not"];
}

/** Who did something meanwhile, the newest first. */
export function doneSince({ at }: Pick<ShownPlan, "at">, operations: readonly Operation[]): string[] {
  return operations
    .filter(({ createdAt }) => createdAt >= at)
    .map(({ id, kind, service, deckyName, actor, createdAt }) => {
      const what = [kind.replaceAll("_", " "), service, deckyName === "" ? "" : `of ${deckyName}`].filter((word) => word !== "");
      return `meanwhile: ${what.join(" ")} by ${actor} at ${createdAt.toISOString()} (${id})`;
    });
}

/** Of a plan for many deckies, the steps of each under its name. */
function linesOf(plan: PlanRecord): string[] {
  const parts = plan.deckies ?? [];
  const own = plan.steps.map(({ verb, target, cause }) => `${verb} ${target} (${cause})`);
  const changes = plan.changes.map(({ service, action }) => `${action}: ${service}`);
  const untouched = plan.untouched.map((name) => `untouched: ${name}`);
  const theirs = parts.flatMap(({ name, host, action, plan: part }) => [
    `${action} ${name} on ${host}`,
    ...linesOf(part).map((line) => `${name}: ${line}`),
    ...(part.baseRevision === 0 ? [] : [`${name}: from revision ${part.baseRevision}`]),
  ]);
  return [...changes, ...own, ...untouched, ...theirs];
}

/** How each container was found, by name. */
function seenIn({ observed = [], deckies = [] }: PlanRecord): ReadonlyMap<string, string> {
  const lines = [...observed, ...deckies.flatMap(({ plan }) => plan.observed ?? [])];
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]));
}

/** Of a container that only one of the plans speaks of, its steps say enough. */
function foundOtherwise(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...before].flatMap(([name, was]) => {
    const is = after.get(name);
    return is === undefined || is === was ? [] : [`${name} was ${was}, and is ${is}`];
  });
}

function shorten(lines: readonly string[]): string[] {
  return lines.length <= mostLines ? [...lines] : [...lines.slice(0, mostLines), `and ${lines.length - mostLines} more`];
}
