import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { UsageError } from "../usage-error.ts";
import { type ContextFile, parseContextFile, toDocument } from "./contexts.ts";

/** Loaded when there is a file: most calls, and each Tab of a shell, do without. */
const yaml = () => createRequire(import.meta.url)("yaml") as Pick<typeof import("yaml"), "parse" | "stringify">;

type Env = Readonly<Record<string, string | undefined>>;

/** `DECNET_CONFIG`, else `decnet/config.yaml` in the folder of the user's settings. */
export function contextFilePath(env: Env): string {
  return env["DECNET_CONFIG"] || join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "decnet", "config.yaml");
}

/** A missing file holds no contexts. */
export function readContextFile(env: Env): ContextFile {
  const path = contextFilePath(env);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { current: undefined, contexts: [] };
    throw new UsageError(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    return parseContextFile(yaml().parse(text));
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Replaces the file as a whole; only its owner can read it. */
export function writeContextFile(env: Env, file: ContextFile): void {
  const path = contextFilePath(env);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, yaml().stringify(toDocument(file)), { mode: 0o600 });
  renameSync(fresh, path);
}
