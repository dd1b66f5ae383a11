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
  const names = [...new Set([...before.containers, ...after.containers].map((container) => container.name))];
  const containers = names.map((name) => {
    const was = before.containers.find((container) => container.name === name);
    const is = after.containers.find((container) => container.name === name);
    return {
      name,
      service: (is ?? was)?.service ?? "",
      before: was === undefined ? undefined : factsOf(was),
      after: is === undefined ? undefined : factsOf(is),
      verdict: verdictOf(was, is),
      planned: planned.has(name),
    };
  });
  return { containers, othersUnchanged: areOthersUnchanged(containers) };
}

/** A receipt that is not finished: how everything was before the first step. */
export function beginReceipt(plan: Pick<Plan, "steps">, before: ObservedDecky): Receipt {
  const planned = plannedContainers(plan);
  const names = [...new Set([...before.containers.map((container) => container.name), ...planned])];
  const containers = names.map((name): ContainerReceipt => {
    const was = before.containers.find((container) => container.name === name);
    const facts = was === undefined ? undefined : factsOf(was);
    return {
      name,
      service: was?.service ?? "",
      before: facts,
      after: undefined,
      verdict: "unchanged",
      planned: planned.has(name),
    };
  });
  return { containers, othersUnchanged: true };
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
