import { closeSync, fstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { UsageError } from "./usage-error.ts";

/** No master takes so much; some files have no end. */
const mostBytes = 32 << 20;
const chunkBytes = 64 << 10;

export function readText(file: string): string {
  let bytes: Uint8Array;
  try {
    bytes = file === "-" ? readAll(0) : readFile(file);
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${file === "-" ? "standard input" : file} is not UTF-8 text`);
  }
}

function readFile(file: string): Uint8Array {
  const fd = openSync(file, "r");
  try {
    return readAll(fd);
  } finally {
    closeSync(fd);
  }
}

function readAll(fd: number): Uint8Array {
  const chunks: Buffer[] = [];
  for (let total = 0; total <= mostBytes; ) {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const read = readSync(fd, chunk);
    if (read === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, read));
    total += read;
  }
  throw new Error(`it is longer than ${mostBytes >> 20} MiB`);
}

/** The file that standard input is; undefined for a pipe or a terminal. */
export function inputFile(): string | undefined {
  try {
    return fstatSync(0).isFile() ? readlinkSync("/proc/self/fd/0") : undefined;
  } catch {
    return undefined;
  }
}
