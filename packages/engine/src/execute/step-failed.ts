import type { CommandResult } from "../docker/run-command.ts";

/** A step that failed for a reason that people are told, with the last output of what it ran. */
export class StepFailed extends Error {
  readonly outputTail: readonly string[];
  readonly reason: FailureReason;
  constructor(message: string, outputTail: readonly string[], reason: FailureReason = "APPLY_FAILED") {
    super(message);
    this.outputTail = outputTail;
    this.reason = reason;
  }
}

/** What kind of failure it is: an image that cannot be had is mended elsewhere than a program that fails. */
export const failureReasons = ["APPLY_FAILED", "IMAGE_UNAVAILABLE"] as const;
export type FailureReason = (typeof failureReasons)[number];

export function throwUnlessDone(result: CommandResult, what: string): void {
  if (result.ended === "timeout")
    throw new StepFailed(`${what} took longer than ${Math.round(result.durationMs / 1000)} s and was stopped`, result.tail);
  if (result.exitCode !== 0) throw new StepFailed(`${what} failed with exit code ${result.exitCode ?? "none"}`, result.tail);
}
