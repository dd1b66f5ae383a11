import { access, chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres, type PrivatePostgres } from "@decnet/master/store/private-postgres";
import { execa } from "execa";

/** Names the folder to all files of a run. No setting of ours: daemons are told of those that have no meaning. */
const variable = "TEST_DATABASE";
/** Whose folder it is: this process's, unless scripts/test.sh had it made for all its suites. */
const owner = process.env["TEST_OWNER"] ?? process.pid;

/**
 * Makes a private database as a first start makes it, once for a whole run. Removed by what this resolves to; one that
 * scripts/test.sh has is left to it.
 */
export async function makeReadyDatabase(): Promise<() => Promise<void>> {
  if (process.env[variable] !== undefined) return async () => undefined;
  const folder = await mkdtemp(join(tmpdir(), `decnet-ready-${owner}-`));
  await chmod(folder, 0o711);
  const server = await openPrivatePostgres(folder);
  try {
    await (await openDatabase(server)).close();
  } finally {
    await server.stop();
  }
  await rm(join(folder, "postgres", "server.log"));
  process.env[variable] = folder;
  return () => rm(folder, { recursive: true, force: true });
}

/**
 * Puts a copy of it into the data folder of a master that has not started yet: making a database takes most of a first start, and
 * tests have hundreds. Nothing where there is one already. What a test says of the making itself goes without.
 */
export async function placeDatabase(dataDir: string): Promise<void> {
  const ready = process.env[variable];
  const target = join(dataDir, "postgres");
  if (ready === undefined || (await isThere(target))) return;
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  await execa("cp", ["-a", join(ready, "postgres"), target]);
}

/** A private server for a test of its own, on such a copy. */
export async function openReadyPostgres(dataDir: string): Promise<PrivatePostgres> {
  await placeDatabase(dataDir);
  return openPrivatePostgres(dataDir);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
