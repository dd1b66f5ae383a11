import type { StepBoundary } from "@decnet/engine/execute/execute-plan";
import type { StepVerb } from "@decnet/engine/plan/plan";

/** Steps that are held: what is done to something with this in its name waits until it is let go. */
export function createHold() {
  let target: string | undefined;
  let verb: StepVerb = "create";
  let reached: () => void = () => undefined;
  let release: () => void = () => undefined;
  let held = Promise.resolve();
  const boundary: StepBoundary = async ({ step }) => {
    if (target === undefined || step?.verb !== verb || !step.target.includes(target)) return;
    reached();
    await held;
  };
  return {
    boundary,
    /** Resolves when it is reached. */
    at: (wanted: string, of: StepVerb = "create") => {
      release();
      target = wanted;
      verb = of;
      held = new Promise((resolve) => {
        release = resolve;
      });
      return new Promise<void>((resolve) => {
        reached = resolve;
      });
    },
    letGo: () => {
      target = undefined;
      release();
    },
  };
}
