import type { Logger } from "@decnet/common/logging/logger";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";

/**
 * Where a daemon kills itself with SIGKILL: at the n-th step boundary of its life (CRASH_AT), or after so many steps of whatever
 * deckies (CRASH_AFTER; 0: before the first one). -1, and nothing: never.
 */
export function crashPoint(env: NodeJS.ProcessEnv): StepBoundary {
  const at = Number(env["CRASH_AT"] ?? "-1");
  const after = Number(env["CRASH_AFTER"] ?? "-1");
  let boundaries = 0;
  let steps = 0;
  return ({ index }) => {
    if (index > 0) steps += 1;
    const isThere = boundaries === at || (index === 0 ? after === 0 : steps === after);
    if (isThere) process.kill(process.pid, "SIGKILL");
    boundaries += 1;
  };
}

/** What a master says right after a commit that ended something, or took an edit back. */
const ends: ReadonlySet<string> = new Set(["a change ended", "an edit is taken back"]);

/** With CRASH_ENDED, a master also kills itself as soon as the end of a change is stored, and before anything follows from it. */
export function crashingLog(log: Logger, env: NodeJS.ProcessEnv): Logger {
  if (env["CRASH_ENDED"] === undefined) return log;
  return {
    ...log,
    info(message, fields) {
      if (ends.has(message)) process.kill(process.pid, "SIGKILL");
      log.info(message, fields);
    },
    child: (fields) => crashingLog(log.child(fields), env),
  };
}
