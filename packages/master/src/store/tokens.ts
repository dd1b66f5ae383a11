import { createHash, randomBytes } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { createRounds } from "@decnet/common/runtime/rounds";
import type { Caller, Role, Token } from "../model/access.ts";
import { createCodec } from "./codec.ts";
import { IsNull } from "./conditions.ts";
import type { Database } from "./database.ts";
import { Tokens } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows, updateRows } from "./write.ts";

/** Bearer tokens. Only a hash of the secret is kept: 256 random bits need no slow hash. */
export interface TokenStore {
  create(token: {
    name: string;
    role: Role;
    createdBy: string;
    ttlMs: number | undefined;
  }): Promise<{ row: Token; secret: string }>;
  /** Undefined for a token that is unknown, revoked or expired. Always looked up, so that a revocation acts at once. */
  authenticate(secret: string): Promise<Caller | undefined>;
  /** Those of the given tokens that are still good, by id. */
  callers(ids: readonly string[]): Promise<ReadonlyMap<string, Caller>>;
  /**
   * Who signs with a token that is good, and the key: the SHA-256 of the token's secret, in hex, and so never the secret itself.
   */
  findSigner(id: string): Promise<{ readonly caller: Caller; readonly key: string } | undefined>;
  list(): Promise<Token[]>;
  revoke(id: string): Promise<Token>;
  /** Called with the id of each token that this master revokes. */
  onRevoked(listener: (id: string) => void): void;
}

const hash = (secret: string) => createHash("sha256").update(secret).digest("hex");

const codec = createCodec(Tokens);
const bySecrets = {
  name: "decnet-tokens",
  text: "SELECT row_to_json(token) AS token FROM tokens AS token WHERE token.secret_hash = ANY ($1)",
};
const byIds = {
  name: "decnet-tokens-by-id",
  text: "SELECT row_to_json(token) AS token FROM tokens AS token WHERE token.id = ANY ($1)",
};
const most = 256;

/** Undefined for a token that is revoked or expired. */
function callerOf(row: Token): Caller | undefined {
  if (row.revokedAt !== null || (row.expiresAt !== null && row.expiresAt <= new Date())) return undefined;
  return { tokenId: row.id, name: row.name, role: row.role, expiresAt: row.expiresAt };
}

export function createTokenStore(database: Database): TokenStore {
  /** Calls that come together share a look-up; each sees what was there when it was made. */
  const find = createRounds<string, Token | undefined>({
    most,
    serve: async (hashes) => {
      const rows = await database.run<{ token: Record<string, unknown> }>(bySecrets, [[...new Set(hashes)]]);
      const found = new Map(rows.map(({ token }) => codec.fromJson(token)).map((token) => [token.secretHash, token]));
      return hashes.map((each) => found.get(each));
    },
  });
  const listeners = new Set<(id: string) => void>();
  return {
    async create({ name, role, createdBy, ttlMs }) {
      const secret = `decnet_${randomBytes(32).toString("base64url")}`;
      const createdAt = new Date();
      const row: Token = {
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
      await database.write((tx) => insertRows(tx, Tokens, [row]));
      return { row, secret };
    },
    async authenticate(secret) {
      const row = await find(hash(secret));
      const caller = row === undefined ? undefined : callerOf(row);
      if (row === undefined || caller === undefined) return undefined;
      // Once a minute is exact enough, and keeps reads from writing.
      if (row.lastUsedAt === null || Date.now() - row.lastUsedAt.getTime() > 60_000)
        await database.write((tx) => updateRows(tx, Tokens, { id: row.id }, { lastUsedAt: new Date() }));
      return caller;
    },
    async callers(ids) {
      const rows = await database.run<{ token: Record<string, unknown> }>(byIds, [ids]);
      const callers = rows.flatMap(({ token }) => callerOf(codec.fromJson(token)) ?? []);
      return new Map(callers.map((caller) => [caller.tokenId, caller]));
    },
    async findSigner(id) {
      const [found] = await database.run<{ token: Record<string, unknown> }>(byIds, [[id]]);
      const row = found === undefined ? undefined : codec.fromJson(found.token);
      const caller = row === undefined ? undefined : callerOf(row);
      return row === undefined || caller === undefined ? undefined : { caller, key: row.secretHash };
    },
    list: () =>
      database.read((tx) =>
        managerOf(tx)
          .getRepository(Tokens)
          .find({ order: { createdAt: "ASC" } }),
      ),
    async revoke(id) {
      const revoked = await database.write(async (tx) => {
        await updateRows(tx, Tokens, { id, revokedAt: IsNull() }, { revokedAt: new Date() });
        const row = await managerOf(tx).getRepository(Tokens).findOneBy({ id });
        if (row === null)
          throw new AppError("TOKEN_NOT_FOUND", `there is no token ${JSON.stringify(id)}`, {
            resource: { type: "token", name: id },
          });
        return row;
      });
      for (const listener of listeners) listener(id);
      return revoked;
    },
    onRevoked: (listener) => void listeners.add(listener),
  };
}
