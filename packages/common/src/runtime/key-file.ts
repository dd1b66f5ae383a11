import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AppError } from "../errors/app-error.ts";

/** No key and no certificate of ours is longer. */
const mostBytes = 64 << 10;

/**
 * Reads a file that a daemon cannot do without and cannot make again. Undefined when there is none; whatever else is wrong
 * with it is KEY_FILE_UNUSABLE. A file that holds a secret must be its reader's own, or root's, and nobody else's to read;
 * one that holds none may be read by all and written by no other.
 */
export async function readKeyFile(path: string, holds: "secret" | "certificate"): Promise<string | undefined> {
  try {
    // A pipe would otherwise be waited for until somebody writes to it.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      if (!found.isFile()) throw unusable(path, "is no file");
      if (found.size > mostBytes) throw unusable(path, `is damaged: it has ${found.size} bytes`);
      const me = process.geteuid?.() ?? 0;
      const mode = (found.mode & 0o7777).toString(8);
      if (found.uid !== me && found.uid !== 0) throw exposed(path, `belongs to the user ${found.uid}`, me);
      if ((found.mode & (holds === "secret" ? 0o077 : 0o022)) !== 0)
        throw exposed(path, `has the mode ${mode}, so that others can ${holds === "secret" ? "read" : "change"} it`, me);
      return (await handle.readFile("utf8")).trim();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof AppError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw unusable(path, `cannot be read: ${message}`, error);
  }
}

/** It is missing, damaged, or another one than is wanted; `what` completes a sentence that begins with its path. */
export function unusable(path: string, what: string, cause?: unknown): AppError {
  return new AppError("KEY_FILE_UNUSABLE", `${path} ${what}`, { metadata: { lost_file: path }, cause });
}

function exposed(path: string, what: string, owner: number): AppError {
  return new AppError("KEY_FILE_UNUSABLE", `${path} ${what}`, { metadata: { exposed_file: path, owner: String(owner) } });
}
