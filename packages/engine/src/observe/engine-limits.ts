import { readdir, readFile } from "node:fs/promises";
import { type HardLimits, hardLimitsOf, least } from "../render/hard-limits.ts";

/**
 * Asks the kernel about the engines of this host, since no engine tells. Of one that is not seen from here, such as one that is
 * behind a relay, this process is the nearest that is known.
 */
export async function observeHardLimits(): Promise<HardLimits> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(async (pid) => ((await read(pid, "comm")).trim() === "dockerd" ? [pid] : [])));
  const engines = found.flat();
  const limits = (engines.length === 0 ? ["self"] : engines).map(async (pid) =>
    hardLimitsOf(await read(pid, "limits"), await read(pid, "status")),
  );
  return least(await Promise.all(limits));
}

/** A process may be gone by now. */
function read(pid: string, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
}
