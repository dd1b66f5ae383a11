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
  readonly slug: string;
  readonly before: ContainerFacts | undefined;
  readonly after: ContainerFacts | undefined;
  readonly verdict: ContainerVerdict;
  /** Whether a step of the plan names this container. */
  readonly planned: boolean;
}

/** What happened to each container of the decky, from two observations: not a claim but a comparison. */
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
      slug: (is ?? was)?.slug ?? "",
      before: was === undefined ? undefined : factsOf(was),
      after: is === undefined ? undefined : factsOf(is),
      verdict: verdictOf(was, is),
      planned: planned.has(name),
    };
  });
  return { containers, othersUnchanged: containers.every((container) => container.planned || container.verdict === "unchanged") };
}

function factsOf(container: ObservedContainer): ContainerFacts {
  return { id: container.id, startedAt: container.startedAt, restartCount: container.restartCount };
}

function verdictOf(was: ObservedContainer | undefined, is: ObservedContainer | undefined): ContainerVerdict {
  if (was === undefined) return "created";
  if (is === undefined) return "removed";
  if (was.id !== is.id) return "recreated";
  return was.startedAt === is.startedAt && was.restartCount === is.restartCount ? "unchanged" : "restarted";
}
