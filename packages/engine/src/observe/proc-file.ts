import { readFileSync } from "node:fs";

/**
 * A small file under /proc, or undefined when it is not there. Read synchronously: the kernel makes it in memory, which takes
 * less time than handing the read to another thread, and less memory than the buffers for a file of unknown size.
 */
export function readProcFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // No such table in this kernel, or the process just ended.
    return undefined;
  }
}
