import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import { UsageError } from "./usage-error.ts";

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

/** The file that standard input is; undefined for a pipe or a terminal. */
export function inputFile(): string | undefined {
  try {
    return fstatSync(0).isFile() ? readlinkSync("/proc/self/fd/0") : undefined;
  } catch {
    return undefined;
  }
}
