import { setTimeout as delay } from "node:timers/promises";
import { absentCodes, codeOf } from "../observe/not-observed.ts";
import { listProcFolder, readProcFile } from "../observe/proc-file.ts";
import { statusOf } from "./calls.ts";

/** The engine hears of an end within this time. */
const heardMs = 500;

/**
 * Runs a call that ends a container. An engine that was killed, or asked for two things at once, while it started a container may
 * take it for one that waits for its restart while its process runs: it then refuses for ever to stop or remove it, and
 * `docker rm -f` fails as well. When the process is ended from here, the engine hears of that, and the second call goes through.
 */
export async function endingLost<T>(id: string, call: () => Promise<T>, end: (id: string) => number = endProcesses): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const isLost = statusOf(error) === 500 && error instanceof Error && /did not receive an exit event/.test(error.message);
    if (!isLost || end(id) === 0) throw error;
    await delay(heardMs);
    return call();
  }
}

/** A start that goes well is over long before. */
const startMs = 2_000;

/** The same when it was restarted, and waits for that all the same while its process runs: the engine then starts it itself. */
export async function endUnlessStarted(
  id: string,
  isRestarting: () => Promise<boolean>,
  end: (id: string) => number = endProcesses,
): Promise<void> {
  for (const since = performance.now(); await isRestarting(); await delay(heardMs / 5)) {
    if (performance.now() - since < startMs) continue;
    end(id);
    return;
  }
}

/** Kills every process of a container, by its whole id, and returns how many there were. */
export function endProcesses(id: string): number {
  if (!/^[0-9a-f]{64}$/.test(id)) return 0;
  const pids = (listProcFolder("/proc") ?? []).filter((name) => /^\d+$/.test(name));
  const own = pids.filter((pid) => readProcFile(`/proc/${pid}/cgroup`, hidden)?.includes(id));
  for (const pid of own)
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if (codeOf(error) !== "ESRCH") throw error;
    }
  return own.length;
}

const hidden: ReadonlySet<string> = new Set([...absentCodes, "EACCES", "EPERM"]);
