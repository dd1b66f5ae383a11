import { readFileSync } from "node:fs";

/** Bad input on the command line; exit code 2. */
export class UsageError extends Error {}

/** The user ended it; exit code 130. */
export class Interrupted extends Error {}

export function readText(file: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file === "-" ? 0 : file);
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${file === "-" ? "standard input" : file} is not UTF-8 text`);
  }
}
