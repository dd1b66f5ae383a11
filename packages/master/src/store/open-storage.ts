import { once } from "node:events";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { type Database, type DatabaseOptions, openDatabase } from "./database.ts";
import { openPrivatePostgres } from "./private-postgres.ts";

export interface StorageOptions {
  readonly dataDir: string;
  /** Undefined: a private PostgreSQL in the data folder. */
  readonly databaseUrl: string | undefined;
  readonly database: Partial<DatabaseOptions>;
  /** Aborted: a server that is still starting is not waited for. */
  readonly giveUp: AbortSignal;
  /** Whether the data folder is still this master's. */
  readonly isHeld: () => Promise<boolean>;
  /** Called in the order in which things are acquired. */
  readonly onRelease: (release: () => Promise<unknown>) => void;
  readonly onRestart: () => void;
}

/** The database of this installation, and the server that it needs. */
export async function openStorage({
  dataDir,
  databaseUrl,
  database: how,
  giveUp,
  isHeld,
  onRelease,
  onRestart,
}: StorageOptions): Promise<Database> {
  if (databaseUrl !== undefined) {
    const database = await unlessAborted(openDatabase({ url: databaseUrl }, how), giveUp);
    onRelease(() => database.close());
    return database;
  }
  const server = await openPrivatePostgres(dataDir, giveUp, isHeld);
  const ending = new AbortController();
  const kept = server.keepRunning(ending.signal, onRestart);
  onRelease(async () => {
    ending.abort();
    await kept;
    await server.stop();
  });
  const database = await unlessAborted(openDatabase(server, how), giveUp);
  onRelease(() => database.close());
  return {
    ...database,
    async ping() {
      await refuseFullDisk(join(dataDir, "postgres"));
      await database.ping();
    },
  };
}

/** A row may still find room in a page that is there; the next page would not. */
const leastBytes = 1 << 20;

/** Where the private database lives, this is known before a write fails. */
async function refuseFullDisk(folder: string): Promise<void> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  if (bavail * bsize >= leastBytes && (files === 0 || ffree > 0)) return;
  throw new AppError("STORAGE_FULL", "the disk of the database is full", { retryAfterMs: 1_000 });
}

/** For work that cannot be broken off: it is not waited for any longer. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return Promise.race([work, once(signal, "abort").then(() => Promise.reject(signal.reason as Error))]);
}
