import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { type HardLimits, hardLimitsOf, least } from "../render/hard-limits.ts";

/**
 * Asks the kernel about the engines of this host, since no engine tells. Of one that is not seen from here, such as one that is
 * behind a relay, this process is the nearest that is known. One process after the other: side by side, those of a busy host
 * would take every descriptor that this program may have.
 */
export async function observeHardLimits(): Promise<HardLimits> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const engines = pids.filter((pid) => read(pid, "comm").trim() === "dockerd");
  const limits = (engines.length === 0 ? ["self"] : engines).map((pid) => hardLimitsOf(read(pid, "limits"), read(pid, "status")));
  return least(limits);
}

/** A process may be gone by now. */
function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
