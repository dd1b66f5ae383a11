import { createHash, randomBytes } from "node:crypto";
import { chmod, open, readFile, rename } from "node:fs/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { IsNull } from "../store/conditions.ts";
import type { Database } from "../store/database.ts";
import { type TokenRow, Tokens } from "../store/tables.ts";
import { insertRows, updateRows } from "../store/write.ts";

export type Role = TokenRow["role"];

/** Who calls. */
export interface Caller {
  readonly tokenId: string;
  readonly name: string;
  readonly role: Role;
}

/** Bearer tokens. Only a hash of the secret is kept: 256 random bits need no slow hash. */
export interface TokenStore {
  create(token: {
    name: string;
    role: Role;
    createdBy: string;
    ttlMs: number | undefined;
  }): Promise<{ row: TokenRow; secret: string }>;
  /** Undefined for a token that is unknown, revoked or expired. Always looked up, so that a revocation acts at once. */
  authenticate(secret: string): Promise<Caller | undefined>;
  list(): Promise<TokenRow[]>;
  revoke(id: string): Promise<TokenRow>;
}

const hash = (secret: string) => createHash("sha256").update(secret).digest("hex");

export function createTokenStore(database: Database): TokenStore {
  return {
    async create({ name, role, createdBy, ttlMs }) {
      const secret = `decnet_${randomBytes(32).toString("base64url")}`;
      const createdAt = new Date();
      const row: TokenRow = {
        id: `tk-${randomBytes(5).toString("hex")}`,
        name,
        role,
        secretHash: hash(secret),
        createdAt,
        createdBy,
        expiresAt: ttlMs === undefined ? null : new Date(createdAt.getTime() + ttlMs),
        revokedAt: null,
        lastUsedAt: null,
      };
      await database.read((tx) => insertRows(tx, Tokens, [row]));
      return { row, secret };
    },
    async authenticate(secret) {
      const row = await database.read((tx) => tx.getRepository(Tokens).findOneBy({ secretHash: hash(secret) }));
      if (row === null || row.revokedAt !== null || (row.expiresAt !== null && row.expiresAt <= new Date())) return undefined;
      // Once a minute is exact enough, and keeps reads from writing.
      if (row.lastUsedAt === null || Date.now() - row.lastUsedAt.getTime() > 60_000)
        await database.read((tx) => updateRows(tx, Tokens, { id: row.id }, { lastUsedAt: new Date() }));
      return { tokenId: row.id, name: row.name, role: row.role };
    },
    list: () => database.read((tx) => tx.getRepository(Tokens).find({ order: { createdAt: "ASC" } })),
    revoke: (id) =>
      database.read(async (tx) => {
        await updateRows(tx, Tokens, { id, revokedAt: IsNull() }, { revokedAt: new Date() });
        const row = await tx.getRepository(Tokens).findOneBy({ id });
        if (row === null)
          throw new AppError("TOKEN_NOT_FOUND", `there is no token ${JSON.stringify(id)}`, {
            resource: { type: "token", name: id },
          });
        return row;
      }),
  };
}

/** Makes the first admin token at the first start and keeps it, 0600, for the local command line. A token in the file that still works is kept. */
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
