import type { ObservedContainer, ObservedDecky } from "../observe/observed.ts";
import { type Plan, plannedContainers } from "../plan/plan.ts";

export interface ContainerFacts {
  readonly id: string;
  readonly startedAt: string;
  readonly restartCount: number;
}

export type ContainerVerdict = "unchanged" | "created" | "recreated" | "restarted" | "removed";

export interface ContainerReceipt {
  readonly name: string;
  readonly service: string;
  readonly before: ContainerFacts | undefined;
  readonly after: ContainerFacts | undefined;
  readonly verdict: ContainerVerdict;
  /** Whether a step of the plan names this container. */
  readonly planned: boolean;
}

/** What happened to each container of the decky: a comparison of two observations, not a claim. */
export interface Receipt {
  readonly containers: readonly ContainerReceipt[];
  readonly othersUnchanged: boolean;
}

/** Of something that was only planned. */
export const emptyReceipt: Receipt = { containers: [], othersUnchanged: true };

export function makeReceipt(plan: Pick<Plan, "steps">, before: ObservedDecky, after: ObservedDecky): Receipt {
  const planned = plannedContainers(plan);
  const was = byName(before, renamed(plan));
  const is = byName(after, new Map());
  const containers = [...new Set([...was.keys(), ...is.keys()])].map((name): ContainerReceipt => {
    const [first, last] = [was.get(name), is.get(name)];
    return {
      name,
      service: (last ?? first)?.service ?? "",
      before: first === undefined ? undefined : factsOf(first),
      after: last === undefined ? undefined : factsOf(last),
      verdict: verdictOf(first, last),
      planned: planned.has(name),
    };
  });
  return { containers, othersUnchanged: areOthersUnchanged(containers) };
}

/** A receipt that is not finished: how everything was before the first step. */
export function beginReceipt(plan: Pick<Plan, "steps">, before: ObservedDecky): Receipt {
  const planned = plannedContainers(plan);
  const was = byName(before, renamed(plan));
  const containers = [...new Set([...was.keys(), ...planned])].map((name): ContainerReceipt => {
    const first = was.get(name);
    return {
      name,
      service: first?.service ?? "",
      before: first === undefined ? undefined : factsOf(first),
      after: undefined,
      verdict: "unchanged",
      planned: planned.has(name),
    };
  });
  return { containers, othersUnchanged: true };
}

/** Which names the plan gives to containers, by their ids; one that was put aside has its last name in the end. */
function renamed({ steps }: Pick<Plan, "steps">): ReadonlyMap<string, string> {
  return new Map(steps.flatMap((step) => (step.verb === "rename" ? [[step.id, step.container] as const] : [])));
}

function byName({ containers }: ObservedDecky, names: ReadonlyMap<string, string>): Map<string, ObservedContainer> {
  return new Map(containers.map((container) => [names.get(container.id) ?? container.name, container]));
}

/** Of work that took several runs: from how it was before the first to how it is after the last. */
export function joinReceipts(begun: Receipt, last: Receipt): Receipt {
  const names = [...new Set([...begun.containers, ...last.containers].map((container) => container.name))];
  const containers = names.flatMap((name): ContainerReceipt[] => {
    const first = begun.containers.find((container) => container.name === name);
    const end = last.containers.find((container) => container.name === name);
    const before = first?.before;
    const after = end?.after;
    if (before === undefined && after === undefined) return [];
    const planned = first?.planned === true || end?.planned === true;
    return [{ name, service: end?.service ?? first?.service ?? "", before, after, verdict: verdictOf(before, after), planned }];
  });
  return { containers, othersUnchanged: areOthersUnchanged(containers) };
}

function areOthersUnchanged(containers: readonly ContainerReceipt[]): boolean {
  return containers.every((container) => container.planned || container.verdict === "unchanged");
}

function factsOf(container: ObservedContainer): ContainerFacts {
  return { id: container.id, startedAt: container.startedAt, restartCount: container.restartCount };
}

function verdictOf(was: ContainerFacts | undefined, is: ContainerFacts | undefined): ContainerVerdict {
  if (was === undefined) return "created";
  if (is === undefined) return "removed";
  if (was.id !== is.id) return "recreated";
  return was.startedAt === is.startedAt && was.restartCount === is.restartCount ? "unchanged" : "restarted";
}
