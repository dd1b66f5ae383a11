import { randomUUID } from "node:crypto";
import type { Logger } from "@decnet/common/logging/logger";
import { createTally, sourceOf } from "@decnet/common/runtime/tally";
import type { AuditEntry } from "../model/access.ts";
import type { Database } from "./database.ts";
import { refuseForgottenPage } from "./forgotten.ts";
import { type FilterConditions, type ListedRows, type ListRequest, listRows } from "./list-rows.ts";
import { Audit } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows, updateRows } from "./write.ts";

export type AuditDraft = Omit<AuditEntry, "id" | "at" | "times">;

export interface AuditLog {
  /** Never fails: what cannot be written is in the log. */
  record(entry: AuditDraft): Promise<void>;
  /** For what anyone who reaches the port can cause: the same from the same address is one entry, which says how often. */
  recordStranger(address: string, entry: AuditDraft): Promise<void>;
  /** For what a known caller can repeat without an effect: refused calls and dry runs. Beyond many they are counted. */
  recordOften(entry: AuditDraft): Promise<void>;
  /** An entry that was stored with its change ended otherwise than it began. Never fails. */
  setOutcome(id: string, outcome: string): Promise<void>;
  list(request: ListRequest): Promise<ListedRows<AuditEntry>>;
  /** Stores what was counted so far. */
  flush(): Promise<void>;
}

const conditions: FilterConditions = {
  actor: (comparison) => `entry.actor ${comparison}`,
  action: (comparison) => `entry.action ${comparison}`,
  target: (comparison) => `entry.target ${comparison}`,
  outcome: (comparison) => `entry.outcome ${comparison}`,
};

/** What a filter of audit entries can name. */
export const auditFilterKeys = Object.keys(conditions);

const windowMs = 600_000;
const mostSources = 100;
/** So many refused calls of one caller are told one by one in each window. */
const freeOfKnown = 100;

/** What an entry is, without a word that its caller chose. */
const kindOf = ({ actor, action, outcome }: AuditDraft) => JSON.stringify([actor, action, outcome]);

export function createAuditLog(database: Database, log: Logger): AuditLog {
  const store = async (entry: AuditDraft): Promise<string> => {
    const row = { id: randomUUID(), at: new Date(), ...entry, times: 1 };
    await database
      .write((tx) => insertRows(tx, Audit, [row]))
      .catch((error: unknown) => log.error("an audit entry was not written", { ...row, err: error }));
    return row.id;
  };
  const add = async (id: string, times: number): Promise<void> => {
    await database
      .write((tx) => managerOf(tx).query("UPDATE audit SET times = times + $2 WHERE id = $1", [id, times]))
      .catch((error: unknown) => log.error("repetitions were not added to an audit entry", { id, times, err: error }));
  };
  const shared = { store, add, windowMs };
  const strangers = createTally<AuditDraft>({
    ...shared,
    mostSources,
    free: 0,
    pooled: (entry) => ({ ...entry, target: "", reason: "", peer: "other addresses" }),
  });
  // Each caller has a name of its own here: there are as many as there are tokens.
  const known = createTally<AuditDraft>({
    ...shared,
    mostSources: Number.POSITIVE_INFINITY,
    free: freeOfKnown,
    pooled: (entry) => entry,
  });
  const flush = async () => {
    await strangers.flush();
    await known.flush();
  };
  return {
    record: async (entry) => void (await store(entry)),
    recordStranger: (address, entry) => strangers.note(sourceOf(address), kindOf(entry), entry),
    recordOften: (entry) => known.note(entry.actor, kindOf(entry), entry),
    flush,
    async setOutcome(id, outcome) {
      await database
        .write((tx) => updateRows(tx, Audit, { id }, { outcome }))
        .catch((error: unknown) => log.error("an audit entry was not completed", { id, outcome, err: error }));
    },
    async list(request) {
      await flush();
      await refuseForgottenPage(database, "audit", request.page.after);
      return database.read((tx) =>
        listRows(managerOf(tx).getRepository(Audit).createQueryBuilder("entry"), {
          ...request,
          conditions,
          countBy: "entry.outcome",
          order: [
            { column: "entry.at", direction: "DESC", value: ({ at }) => at.toISOString() },
            { column: "entry.id", direction: "ASC", value: ({ id }) => id },
          ],
        }),
      );
    },
  };
}
