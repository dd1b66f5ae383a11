import type { PlanView } from "../plan/plan.ts";
import type { JudgedDecky } from "./judge.ts";

/**
 * Why a repair was in vain, as a sentence about what is seen after it; undefined when it helped, or when nothing was judged.
 * It is judged by the services that it acted on: one that broke meanwhile is the next repair's. Pure.
 */
export function repairInVain({ steps }: Pick<PlanView, "steps">, judged: JudgedDecky | undefined): string | undefined {
  if (judged === undefined || judged.state === "running") return undefined;
  const planned = new Set(steps.map(({ service }) => service));
  const broken = judged.services.filter(({ state }) => state !== "running");
  const brokeMeanwhile = broken.length > 0 && broken.every(({ slug }) => !planned.has(slug));
  if (brokeMeanwhile) return undefined;
  return judged.message === "" ? `it is ${judged.state}` : judged.message;
}
