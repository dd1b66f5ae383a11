import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { unlessAbsent } from "./not-observed.ts";

/**
 * A small file under /proc or /sys, or undefined when it is not there; NOT_OBSERVED when it cannot be read. Read synchronously:
 * the kernel makes it in memory, which takes less time than handing the read to another thread, and less memory than the buffers
 * for a file of unknown size.
 */
export function readProcFile(path: string): string | undefined {
  return unlessAbsent(() => readFileSync(path, "utf8"));
}

export function readProcLink(path: string, absent?: ReadonlySet<string>): string | undefined {
  return unlessAbsent(() => readlinkSync(path), absent);
}

export function listProcFolder(path: string, absent?: ReadonlySet<string>): string[] | undefined {
  return unlessAbsent(() => readdirSync(path), absent);
}
