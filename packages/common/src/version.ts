import { readFileSync } from "node:fs";

/** The version of decnet: one for all packages, see scripts/set-version.mjs. */
export const version = readVersion(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

function readVersion(text: string): string {
  const manifest: unknown = JSON.parse(text);
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("the package.json of @decnet/common has no version");
}
