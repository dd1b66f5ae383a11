import type { PlanRecord } from "../model/operation.ts";

/** Plans that were shown, so that a refusal can say what moved since. After a restart of the master there are none. */
export interface ShownPlans {
  remember(plan: PlanRecord | null): void;
  find(digest: string): PlanRecord | undefined;
}

const mostRemembered = 1_000;

export function createShownPlans(): ShownPlans {
  const plans = new Map<string, PlanRecord>();
  return {
    remember(plan) {
      if (plan === null || plan.digest === "") return;
      plans.delete(plan.digest);
      plans.set(plan.digest, plan);
      if (plans.size > mostRemembered) plans.delete(plans.keys().next().value as string);
    },
    find: (digest) => plans.get(digest),
  };
}

const mostLines = 20;

/**
 * What moved from one plan to the other: `+ create web-http (requested)`, `- start web-ssh (exited with code 1)`. Of a plan that
 * is not known any more, all that is to be done now.
 */
export function planDifference(before: PlanRecord | undefined, after: PlanRecord): string[] {
  if (before === undefined) return shorten(linesOf(after).map((line) => `now: ${line}`));
  const [was, is] = [linesOf(before), linesOf(after)];
  const gone = was.filter((line) => !is.includes(line)).map((line) => `- ${line}`);
  const come = is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`);
  const moved = [...gone, ...come];
  if (before.baseRevision !== after.baseRevision) moved.unshift(`revision ${before.baseRevision} is ${after.baseRevision} now`);
  return moved.length > 0 ? shorten(moved) : ["the steps are the same, and the containers that they act on are others"];
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

function shorten(lines: readonly string[]): string[] {
  return lines.length <= mostLines ? [...lines] : [...lines.slice(0, mostLines), `and ${lines.length - mostLines} more`];
}
