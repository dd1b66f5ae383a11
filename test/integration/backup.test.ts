import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { version } from "@decnet/common/version";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { joinContents } from "@decnet/master/backup/contents";
import { makeBackup } from "@decnet/master/backup/make-backup";
import { restoreBackup } from "@decnet/master/backup/restore-backup";
import { seal } from "@decnet/master/backup/sealed-stream";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres, type PrivatePostgres } from "@decnet/master/store/private-postgres";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DatabaseLine, openDatabaseLine } from "../support/database-line.ts";
import { ownProgram } from "../support/programs.ts";
import { deploy, eventually, inside, type Place, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

const passphrase = "correct horse battery staple";
const canary = "Canary-91b2e4";

/** A real fleet, whose master is changing it all the time. */
describe("a backup that was made under load", () => {
  let folder: string;
  const places: Place[] = [];
  let server: PrivatePostgres;
  let line: DatabaseLine;
  let master: TestMaster | undefined;
  const file = () => join(folder, "decnet.backup");
  const placeOf = (index: number) => places[index] ?? expect.fail("there is no such place");
  const nameOf = (decky: string) => `${placeOf(0).prefix}-${decky}`;

  /** The command of an operator, with the settings of the master at a place. */
  const decnet = async (words: readonly string[], dataDir: string, env: Record<string, string> = {}) => {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [...ownProgram("cli"), ...words], {
      env: { DECNET_DATA_DIR: dataDir, DECNET_BACKUP_PASSPHRASE: passphrase, ...env },
      reject: false,
      timeout: 120_000,
      stdin: "ignore",
    });
    return { exit: exitCode, stdout, stderr };
  };
  const onServer = () => ({ DECNET_DATABASE_URL: line.url });
  /** The same without a process, at a place of its own database or of another one. */
  const at = (index: number, databaseUrl?: string, more: { file?: string; passphrase?: string } = {}) => ({
    ...{ dataDir: placeOf(index).dataDir, databaseUrl, file: file(), passphrase, version },
    ...more,
  });
  /** A master with another data folder that drives the fleet of the first. */
  const start = async (index: number, env: Record<string, string> = {}) => {
    const { prefix, lan } = placeOf(0);
    const place = { ...placeOf(index), prefix, lan, dispose: async () => undefined };
    master = await useMaster({ place, env });
    return master;
  };
  const stop = async () => {
    await master?.dispose();
    master = undefined;
  };
  const untilAsWanted = (of: TestMaster) =>
    eventually(async () => {
      const { deckies } = await of.fleet.listDeckies({});
      const isAsWanted = ({ state, appliedRevision, desiredRevision }: (typeof deckies)[number]) =>
        state === DeckyState.RUNNING && appliedRevision === desiredRevision;
      return deckies.length === 3 && deckies.every(isAsWanted);
    }, 60_000);
  const login = async () => {
    const options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
    return (await inside(nameOf("a"), "sshpass", ["-p", canary, "ssh", ...options, "root@127.0.0.1", "echo", "in"])).stdout;
  };
  const isEmpty = async (dataDir: string) => (await readdir(dataDir)).length === 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    for (let index = 0; index < 3; index += 1) places.push(await usePlace());
    await execa("chmod", ["711", folder]);
    server = await openPrivatePostgres(folder);
    line = await openDatabaseLine(server);
    const first = await start(0);
    await deploy(first, { a: ["redis"], b: ["redis"], c: ["redis"] });
    await first.mutations.addService({ decky: { name: nameOf("a") }, service: "ssh", config: { password: canary } });
    const loading = new AbortController();
    const load = async (decky: string) => {
      while (!loading.signal.aborted) {
        await first.mutations.addService({ decky: { name: nameOf(decky) }, service: "http" });
        await first.mutations.removeService({ decky: { name: nameOf(decky) }, service: "http" });
      }
    };
    const loads = Promise.all(["b", "c"].map(load));
    const { operations: before } = await first.operations.listOperations({ pageSize: 1_000 });
    const made = await decnet(["backup", file()], placeOf(0).dataDir);
    const { operations: after } = await first.operations.listOperations({ pageSize: 1_000 });
    loading.abort();
    await loads;
    expect(made).toMatchObject({ exit: 0, stderr: "" });
    expect(made.stdout).toContain(`${file()} is complete`);
    expect(after.length).toBeGreaterThan(before.length);
    await stop();
  });
  afterAll(async () => {
    await stop();
    await line?.dispose();
    await server?.stop();
    for (const place of [...places].reverse()) await place.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it("is one file for its owner alone, in which nothing can be read", async () => {
    const bytes = await readFile(file());
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(bytes.includes(nameOf("a"))).toBe(false);
    expect(await readdir(folder)).not.toContain("decnet.backup.part");
    expect(await refusalOf(makeBackup(at(0)))).toMatch(/^REQUEST_INVALID .* is there already/);
  });

  it("is not restored with another passphrase, damaged, or from a later version; nothing is written then", async () => {
    const refused = async (more: { file?: string; passphrase?: string }) => {
      const refusal = await refusalOf(restoreBackup(at(1, line.url, more)));
      expect(await isEmpty(placeOf(1).dataDir)).toBe(true);
      return refusal;
    };
    expect(await refused({ passphrase: "another passphrase" })).toMatch(/^BACKUP_UNREADABLE .*passphrase/);
    const bytes = await readFile(file());
    const cut = join(folder, "cut.backup");
    await writeFile(cut, bytes.subarray(0, -1));
    expect(await refused({ file: cut })).toMatch(/^BACKUP_UNREADABLE .*damaged/);
    expect(await refused({ file: join(folder, "none") })).toMatch(/^BACKUP_UNREADABLE/);
    const later = join(folder, "later.backup");
    const schema = ["Initial1764000000000", "Later9999999999999"];
    const installation = "6f0e8c2e-3f7f-4f0e-9a53-0d6a2f7c4b11";
    const manifest = { format: 1, version: "9.9.9", madeAt: new Date().toISOString(), installation, schema, files: {} } as const;
    await writeFile(later, seal(joinContents(manifest, someBytes()), passphrase));
    expect(await refused({ file: later })).toMatch(/^VERSION_TOO_OLD .* 9\.9\.9/);
  });

  it("is not made of an empty database, nor with keys that are not those of the database", async () => {
    const to = join(folder, "none.backup");
    expect(await refusalOf(makeBackup(at(2, line.url, { file: to })))).toMatch(/^BACKUP_FAILED .*no installation/);
    const keyFile = join(placeOf(0).dataDir, "secret.key");
    const key = await readFile(keyFile, "utf8");
    await writeFile(keyFile, `${"0".repeat(64)}\n`);
    expect(await refusalOf(makeBackup(at(0, undefined, { file: to })))).toMatch(
      /^KEY_FILE_UNUSABLE .*not the key of this database/,
    );
    await writeFile(keyFile, key);
    expect(await readdir(folder)).not.toContain("none.backup");
  });

  it("leaves nothing of a database that cannot be restored to its end", async () => {
    const broken = join(folder, "broken.backup");
    const installation = "6f0e8c2e-3f7f-4f0e-9a53-0d6a2f7c4b11";
    const madeAt = new Date().toISOString();
    const manifest = { format: 1, version, madeAt, installation, schema: ["Initial1764000000000"], files: {} } as const;
    await writeFile(broken, seal(joinContents(manifest, someBytes()), passphrase));
    expect(await refusalOf(restoreBackup(at(1, line.url, { file: broken })))).toMatch(/^BACKUP_FAILED pg_restore failed: ./);
    expect(await isEmpty(placeOf(1).dataDir)).toBe(true);
  });

  it("goes into an empty server, as of one moment", async () => {
    const { dataDir } = placeOf(1);
    expect(await decnet(["restore", file()], dataDir, onServer())).toMatchObject({ exit: 0, stderr: "" });
    const database = await openDatabase({ url: line.url });
    try {
      expect(await incoherent(database)).toEqual({ deckies: 3, revisions: 0, operations: 0, events: 0 });
    } finally {
      await database.close();
    }
  });

  it("comes up elsewhere with what is wanted equal to what is seen, and its secrets open", async () => {
    const second = await start(1, onServer());
    await untilAsWanted(second);
    expect(await login()).toBe("in");
    // Made again from what the database has: the password of its service was sealed in the other one.
    const config = { hostname: "moved" };
    await second.mutations.updateServiceConfig({ decky: { name: nameOf("a") }, service: "ssh", mode: 2, config });
    await second.mutations.updateServiceConfig({ decky: { name: nameOf("a") }, service: "ssh", apply: true });
    expect(await login()).toBe("in");
    await stop();
  });

  it("is not restored over anything", async () => {
    expect(await refusalOf(restoreBackup(at(2, line.url)))).toMatch(/^TARGET_NOT_EMPTY .*the database is not empty/);
    expect(await isEmpty(placeOf(2).dataDir)).toBe(true);
    const { exit, stderr } = await decnet(["restore", file()], placeOf(1).dataDir);
    expect(`${exit} ${stderr}`).toMatch(/^4 error: TARGET_NOT_EMPTY .*data folder .* is in use.*\n next: .*docs\/backups.md/);
  });

  it("moves a fleet back from a server to a private database, also after a restore that was broken off", async () => {
    const back = join(folder, "back.backup");
    await makeBackup(at(1, line.url, { file: back }));
    // What one leaves that ended before its database was whole.
    const { dataDir } = placeOf(2);
    await writeFile(join(dataDir, "secret.key"), await readFile(join(placeOf(1).dataDir, "secret.key")), { mode: 0o600 });
    await restoreBackup(at(2, undefined, { file: back }));
    // No master runs there: the database is started for as long as it takes.
    expect((await makeBackup(at(2, undefined, { file: join(folder, "cold.backup") }))).bytes).toBeGreaterThan(10_000);
    const third = await start(2);
    await untilAsWanted(third);
    expect(await login()).toBe("in");
    const { decky } = await third.fleet.getDecky({ decky: { name: nameOf("a") } });
    expect(decky?.services.find(({ slug }) => slug === "ssh")?.config).toMatchObject({ hostname: "moved" });
  });
});

const refusalOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof AppError ? `${error.reason} ${error.message}` : String(error)),
  );

async function* someBytes(): AsyncGenerator<Buffer> {
  yield Buffer.from("PGDMP");
}

/** What could not be if all of it were of one moment. */
async function incoherent(database: Database): Promise<Record<string, unknown>> {
  const [row] = await database.run<Record<string, unknown>>(
    {
      name: "test-incoherent",
      text: `SELECT (SELECT count(*)::int FROM deckies) AS deckies,
        (SELECT count(*)::int FROM deckies WHERE NOT EXISTS (SELECT FROM decky_revisions
          WHERE decky_id = deckies.id AND number = deckies.desired_revision)) AS revisions,
        (SELECT count(*)::int FROM operations WHERE state NOT IN ('pending', 'running') AND decky_name <> '' AND NOT EXISTS (
          SELECT FROM outbox WHERE payload->>'operation' = operations.id)) AS operations,
        (SELECT count(*)::int FROM outbox WHERE payload ? 'operation' AND NOT EXISTS (
          SELECT FROM operations WHERE id = payload->>'operation')) AS events`,
    },
    [],
  );
  return row ?? {};
}
