import { chmod, open, readFile, rename } from "node:fs/promises";
import type { TokenStore } from "../store/tokens.ts";

/**
 * Makes the first admin token at the first start and keeps it, 0600, for the local command line. A token in the file that still
 * works is kept.
 */
export async function ensureAdminToken(tokens: TokenStore, file: string): Promise<"made" | "kept"> {
  const present = (await readFile(file, "utf8").catch(() => "")).trim();
  if (present !== "" && (await tokens.authenticate(present)) !== undefined) return "kept";
  const { secret } = await tokens.create({ name: "admin", role: "admin", createdBy: "first start", ttlMs: undefined });
  const handle = await open(`${file}.new`, "w", 0o600);
  try {
    await handle.writeFile(`${secret}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await chmod(`${file}.new`, 0o600);
  await rename(`${file}.new`, file);
  return "made";
}
