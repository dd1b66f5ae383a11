import type { ObservedContainer } from "../observe/observed.ts";

/** The engine counts a start as one that worked when the container stays up for so long, and begins its pauses again. */
const youngMs = 10_000;
/** As often the engine alone tries: its first pauses are short. */
const patientRestarts = 3;
/** It waits a minute at the most: what is being restarted for longer is so only in its books. */
const longestPauseMs = 70_000;

/** It is being restarted, or just was and not for the first time: a service. A base that runs again has other consequences. */
export function isCrashing({ role, status, restartCount, startedAt }: ObservedContainer, now: number): boolean {
  if (status === "restarting") return true;
  return role === "service" && status === "running" && restartCount > 1 && now - Date.parse(startedAt) < youngMs;
}

export function isLasting({ restartCount, endedAt }: ObservedContainer, now: number): boolean {
  return restartCount >= patientRestarts || (endedAt !== undefined && now - Date.parse(endedAt) > longestPauseMs);
}

/** The engine forgets the code when it starts the container again. */
export function crashSentence({ status, exitCode, lastExitCode, restartCount }: ObservedContainer): string {
  if (status === "restarting") return `exited with code ${exitCode} and is being restarted`;
  return `${lastExitCode === undefined ? "ended" : `exited with code ${lastExitCode}`} and was restarted ${restartCount} times`;
}
