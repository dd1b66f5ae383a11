import { readFileSync } from "node:fs";
import { isMap } from "./maps.ts";

/** The version of this program, from its package. */
export function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return isMap(manifest) ? String(manifest["version"]) : "unknown";
}
