import { readFile } from "node:fs/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import type { TokenStore } from "../store/tokens.ts";

type Tokens = Pick<TokenStore, "authenticate" | "create" | "list" | "revoke">;

/** Who made the token in the file of the master with this host. */
const makerOf = (host: string) => (host === "local" ? "first start" : `first start of ${host}`);

/**
 * Makes the first admin token at the first start and keeps it, 0600, for the local command line. A token in the file that still
 * works is kept; for one that is lost, damaged or revoked there is a new one, and those that were made before for the file are
 * revoked: there is never more than one of each master.
 */
export async function ensureAdminToken(tokens: Tokens, file: string, host: string): Promise<"made" | "kept" | "replaced"> {
  const maker = makerOf(host);
  const present = await readToken(file);
  if (present !== "" && (await tokens.authenticate(present)) !== undefined) return "kept";
  const earlier = (await tokens.list()).filter(({ createdBy, revokedAt }) => createdBy === maker && revokedAt === null);
  const { secret } = await tokens.create({ name: "admin", role: "admin", createdBy: maker, ttlMs: undefined });
  await writeFileAtomically(file, `${secret}\n`, 0o600);
  for (const { id } of earlier) await tokens.revoke(id);
  return earlier.length === 0 ? "made" : "replaced";
}

async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    throw new AppError("KEY_FILE_UNUSABLE", `${file} cannot be read: ${message}`, {
      metadata: { lost_file: file },
      cause: error,
    });
  }
}
