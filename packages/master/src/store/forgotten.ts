import { AppError } from "@decnet/common/errors/app-error";
import type { Database, Tx } from "./database.ts";
import { managerOf } from "./transaction.ts";

/** Tables whose rows are read on from a place, and are not kept for ever. */
export type ForgottenSubject = "audit" | "events" | "operations";

/** Up to where rows were removed. Positions are those of events alone. */
export interface Forgotten {
  readonly position: string;
  readonly until: Date;
}

/** Undefined: nothing was ever removed. */
export async function forgottenOf(tx: Tx, subject: ForgottenSubject): Promise<Forgotten | undefined> {
  const rows: Forgotten[] = await managerOf(tx).query("SELECT position, until FROM forgotten WHERE subject = $1", [subject]);
  return rows[0];
}

export async function noteForgotten(tx: Tx, subject: ForgottenSubject, { position, until }: Forgotten): Promise<void> {
  await managerOf(tx).query(
    `INSERT INTO forgotten AS known (subject, position, until) VALUES ($1, $2, $3)
     ON CONFLICT (subject) DO UPDATE SET position = greatest(known.position, excluded.position),
       until = greatest(known.until, excluded.until)`,
    [subject, position, until],
  );
}

/** Where to read on is not known any more, and what followed it may be gone. */
export function cursorExpired(what: string, { until }: Forgotten, oldest: string): AppError {
  return new AppError("CURSOR_EXPIRED", `${what} is older than what is kept, which begins after ${until.toISOString()}`, {
    metadata: { oldest },
  });
}

/** Throws CURSOR_EXPIRED for a page that begins after a row which was removed by now. */
export async function refuseForgottenPage(
  database: Database,
  subject: ForgottenSubject,
  after: readonly string[] | undefined,
): Promise<void> {
  if (after === undefined) return;
  const forgotten = await database.read((tx) => forgottenOf(tx, subject));
  if (forgotten !== undefined && new Date(after[0] ?? 0) <= forgotten.until)
    throw cursorExpired("page_token", forgotten, forgotten.until.toISOString());
}
