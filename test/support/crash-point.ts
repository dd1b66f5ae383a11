import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "@decnet/common/logging/logger";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";

/**
 * Where a daemon kills itself with SIGKILL: at the n-th step boundary of its life (CRASH_AT), or after so many steps of whatever
 * deckies (CRASH_AFTER; 0: before the first one). -1, and nothing: never. A step after which the life before ended that way does
 * not count: of a service that quits each life makes the container again, and none would come to what follows.
 */
export function crashPoint(env: NodeJS.ProcessEnv): StepBoundary {
  const at = Number(env["CRASH_AT"] ?? "-1");
  const after = Number(env["CRASH_AFTER"] ?? "-1");
  const note = join(env["DECNET_DATA_DIR"] ?? env["DECNET_AGENT_DIR"] ?? "", "crashed-after");
  const before = after > 0 && existsSync(note) ? readFileSync(note, "utf8") : "";
  if (after === 0) rmSync(note, { force: true });
  let boundaries = 0;
  let steps = 0;
  return ({ index, step }) => {
    const done = step === undefined ? "" : `${step.verb} ${step.target}`;
    const counts = index > 0 && done !== before;
    if (counts) steps += 1;
    const isThere = boundaries === at || (index === 0 ? after === 0 : counts && steps === after);
    if (isThere && after > 0) writeFileSync(note, done);
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
