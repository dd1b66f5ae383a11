import { randomUUID } from "node:crypto";
import type { Logger } from "@decnet/common/logging/logger";
import type { AuditEntry } from "../model/access.ts";
import type { Database } from "./database.ts";
import { type FilterConditions, type ListedRows, type ListRequest, listRows } from "./list-rows.ts";
import { Audit } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows, updateRows } from "./write.ts";

export type AuditDraft = Omit<AuditEntry, "id" | "at">;

export interface AuditLog {
  /** Never fails: what cannot be written is in the log. */
  record(entry: AuditDraft): Promise<void>;
  /** For what anyone who reaches the port can cause: the same again within a minute is not written again. */
  recordOnce(entry: AuditDraft): Promise<void>;
  /** An entry that was stored with its change ended otherwise than it began. Never fails. */
  setOutcome(id: string, outcome: string): Promise<void>;
  list(request: ListRequest): Promise<ListedRows<AuditEntry>>;
}

const conditions: FilterConditions = {
  actor: (comparison) => `entry.actor ${comparison}`,
  action: (comparison) => `entry.action ${comparison}`,
  target: (comparison) => `entry.target ${comparison}`,
  outcome: (comparison) => `entry.outcome ${comparison}`,
};

/** What a filter of audit entries can name. */
export const auditFilterKeys = Object.keys(conditions);

const repeatMs = 60_000;
const mostRemembered = 10_000;

export function createAuditLog(database: Database, log: Logger): AuditLog {
  const seen = new Map<string, number>();
  const record: AuditLog["record"] = async (entry) => {
    const row = { id: randomUUID(), at: new Date(), ...entry };
    await database
      .write((tx) => insertRows(tx, Audit, [row]))
      .catch((error: unknown) => log.error("an audit entry was not written", { ...row, err: error }));
  };
  return {
    record,
    async recordOnce(entry) {
      const key = JSON.stringify(entry);
      if (Date.now() - (seen.get(key) ?? 0) < repeatMs) return;
      if (seen.size >= mostRemembered) seen.clear();
      seen.set(key, Date.now());
      await record(entry);
    },
    async setOutcome(id, outcome) {
      await database
        .write((tx) => updateRows(tx, Audit, { id }, { outcome }))
        .catch((error: unknown) => log.error("an audit entry was not completed", { id, outcome, err: error }));
    },
    list: (request) =>
      database.read((tx) =>
        listRows(managerOf(tx).getRepository(Audit).createQueryBuilder("entry"), {
          ...request,
          conditions,
          countBy: "entry.outcome",
          order: [
            { column: "entry.at", direction: "DESC", value: ({ at }) => at.toISOString() },
            { column: "entry.id", direction: "ASC", value: ({ id }) => id },
          ],
        }),
      ),
  };
}
