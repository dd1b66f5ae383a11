import { readFileSync } from "node:fs";

/**
 * A small file under /proc, or undefined when it is not there. The kernel makes it in memory while it is read: that takes less time than to have another
 * thread read it, and none of the large buffers that reading a file of unknown size takes there.
 */
export function readProcFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // No such table in this kernel, or the process just ended.
    return undefined;
  }
}
