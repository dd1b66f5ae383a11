import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { formatJoinToken } from "@decnet/common/pki/join-token";
import type { JoinToken } from "../model/host.ts";
import { IsNull, Not } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { JoinTokens } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows, updateRows } from "./write.ts";

/** Join tokens: single use, expiring, revocable. Only a hash of the secret is kept. */
export interface JoinTokenStore {
  create(token: {
    readonly hostName: string;
    readonly labels: Record<string, string>;
    readonly createdBy: string;
    readonly ttlMs: number;
    readonly masters: readonly string[];
    readonly caHash: string;
  }): Promise<{ row: JoinToken; secret: string }>;
  list(): Promise<JoinToken[]>;
  revoke(id: string): Promise<JoinToken>;
  /** The name that a token is for; undefined when it is none of ours. Locks nothing. */
  hostOf(tx: Tx, token: { readonly id: string; readonly secret: string }): Promise<string | undefined>;
  /**
   * Uses a token for a key, once; the same key again is the same use until the token ends, since a response may have been lost.
   * Throws TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED or TOKEN_REVOKED.
   */
  use(tx: Tx, token: { readonly id: string; readonly secret: string; readonly key: string }): Promise<JoinToken>;
  /** The token led to this host. */
  assign(tx: Tx, id: string, hostId: string): Promise<void>;
  /** Ends what a host joined with, but for one token: nobody gets a certificate with it again. */
  spend(tx: Tx, hostId: string, but?: string): Promise<void>;
}

const idPattern = /^[\w-]{1,64}$/;
const hash = (secret: string) => createHash("sha256").update(secret).digest("hex");

export function createJoinTokenStore(database: Database): JoinTokenStore {
  return {
    async create({ hostName, labels, createdBy, ttlMs, masters, caHash }) {
      const secret = randomBytes(24).toString("base64url");
      const createdAt = new Date();
      const row: JoinToken = {
        id: `jt-${randomBytes(5).toString("hex")}`,
        hostName,
        secretHash: hash(secret),
        labels,
        createdAt,
        createdBy,
        expiresAt: new Date(createdAt.getTime() + ttlMs),
        usedAt: null,
        usedKey: null,
        revokedAt: null,
        hostId: null,
      };
      await database.write((tx) => insertRows(tx, JoinTokens, [row]));
      return { row, secret: formatJoinToken({ masters, caHash, id: row.id, secret }) };
    },
    list: () =>
      database.read((tx) =>
        managerOf(tx)
          .getRepository(JoinTokens)
          .find({ order: { createdAt: "DESC" } }),
      ),
    revoke: (id) =>
      database.write(async (tx) => {
        await updateRows(tx, JoinTokens, { id, revokedAt: IsNull() }, { revokedAt: new Date() });
        const row = await managerOf(tx).getRepository(JoinTokens).findOneBy({ id });
        if (row === null)
          throw new AppError("TOKEN_NOT_FOUND", `there is no join token ${JSON.stringify(id)}`, {
            resource: { type: "join token", name: id },
          });
        return row;
      }),
    async hostOf(tx, { id, secret }) {
      const row = idPattern.test(id) ? await managerOf(tx).getRepository(JoinTokens).findOneBy({ id }) : null;
      return row !== null && sameHash(row.secretHash, hash(secret)) ? row.hostName : undefined;
    },
    async use(tx, { id, secret, key }) {
      const row = idPattern.test(id)
        ? await managerOf(tx)
            .getRepository(JoinTokens)
            .findOne({ where: { id }, lock: { mode: "pessimistic_write" } })
        : null;
      if (row === null || !sameHash(row.secretHash, hash(secret)))
        throw new AppError("TOKEN_INVALID", "the join token is not one of this master's");
      const metadata = { token: id, host: row.hostName };
      if (row.revokedAt !== null)
        throw new AppError("TOKEN_REVOKED", `the join token was revoked at ${row.revokedAt.toISOString()}`, { metadata });
      const isOver = row.expiresAt <= new Date();
      if (row.usedAt !== null && (row.usedKey !== key || isOver))
        throw new AppError("TOKEN_USED", `the join token was used at ${row.usedAt.toISOString()}`, { metadata });
      if (isOver) throw new AppError("TOKEN_EXPIRED", `the join token ended at ${row.expiresAt.toISOString()}`, { metadata });
      await updateRows(tx, JoinTokens, { id }, { usedAt: row.usedAt ?? new Date(), usedKey: key });
      return row;
    },
    async assign(tx, id, hostId) {
      await updateRows(tx, JoinTokens, { id }, { hostId });
    },
    async spend(tx, hostId, but = "") {
      await updateRows(tx, JoinTokens, { hostId, id: Not(but), revokedAt: IsNull() }, { revokedAt: new Date() });
    },
  };
}

function sameHash(left: string, right: string): boolean {
  return timingSafeEqual(Buffer.from(left, "hex"), Buffer.from(right, "hex"));
}
