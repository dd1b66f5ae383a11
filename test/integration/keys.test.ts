import { randomBytes } from "node:crypto";
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { createAuthority } from "@decnet/common/pki/certificates";
import { type Master, type MasterOptions, startMaster } from "@decnet/master/start-master";
import { createClaimStore } from "@decnet/master/store/claims";
import { type Database, openDatabase } from "@decnet/master/store/database";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DatabaseLine, openDatabaseLine } from "../support/database-line.ts";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { openReadyPostgres } from "../support/ready-database.ts";
import { configFor, eventually, type Place, type TestMaster, useMaster } from "../support/use-master.ts";

const lan = { name: "keys-lan", subnet: "10.77.9.0/24" };
const decky = { name: "keys-web" };
const password = "correct horse";

/** A master whose engine keeps its containers in memory, with a database that goes on without it. */
describe("an installation", () => {
  let folder: string;
  let server: PrivatePostgres;
  let line: DatabaseLine;
  let database: Database;
  let dataDir: string;
  let running: (Master | TestMaster)[];

  const openHostEngine: NonNullable<MasterOptions["openHostEngine"]> = async ({ catalog, instance }) =>
    createMemoryEngine({ catalog, instance });
  const placeOf = (dir: string): Place => ({ dataDir: dir, prefix: "keys", lan, dispose: async () => undefined });
  const begin = async (dir: string, more: Partial<MasterOptions> = {}): Promise<Master> => {
    const config = configFor(placeOf(dir), { DECNET_DATABASE_URL: line.url });
    const options = { log: createLogger("test", "silent"), version: "test", openHostEngine, ...more };
    const master = await startMaster({ config, ...options });
    running.push(master);
    return master;
  };
  const refusalOf = async (dir: string, more: Partial<MasterOptions> = {}): Promise<AppError> => {
    const error = await begin(dir, more).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AppError);
    return error as AppError;
  };
  /** With clients. */
  const use = async (dir: string): Promise<TestMaster> => {
    const master = await useMaster({ place: placeOf(dir), openHostEngine, env: { DECNET_DATABASE_URL: line.url } });
    running.push(master);
    return master;
  };
  const end = async (master: Master | TestMaster) => {
    running = running.filter((other) => other !== master);
    await ("dispose" in master ? master.dispose() : master.stop());
  };
  const endAll = async () => {
    for (const master of [...running]) await end(master);
  };
  const read = <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
    database.write((tx) => managerOf(tx).query(text, values));
  const readyz = async (port: number): Promise<[number, Record<string, string>]> => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    return [response.status, (await response.json()) as Record<string, string>];
  };
  const filesIn = async (dir: string) => (await readdir(dir, { recursive: true })).sort();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    server = await openReadyPostgres(folder);
    line = await openDatabaseLine(server);
    database = await openDatabase(server);
    running = [];
    const master = await use(join(folder, "first"));
    const services = [{ slug: "redis", config: { password } }, { slug: "http" }];
    await master.fleet.applyFleet({ fleet: { lan, deckies: [{ ...decky, services }] } });
    await endAll();
  });
  beforeEach(async () => {
    dataDir = join(folder, "data");
    await rm(dataDir, { recursive: true, force: true });
    await cp(join(folder, "first"), dataDir, { recursive: true, preserveTimestamps: true });
  });
  afterEach(async () => {
    line.heal();
    await endAll();
  });
  afterAll(async () => {
    await database.close();
    await line.dispose();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const secretKey = () => join(dataDir, "secret.key");
  const pki = (name: string) => join(dataDir, "pki", name);
  const putOtherAuthority = async (files: readonly ("certPem" | "keyPem")[]) => {
    const made = await createAuthority({ installation: "another", now: new Date(), years: 1 });
    if (files.includes("certPem")) await writeFile(pki("ca.pem"), made.certPem);
    if (files.includes("keyPem")) await writeFile(pki("ca.key"), made.keyPem);
  };

  const replaceKey = (put: () => Promise<unknown>) => rm(secretKey()).then(put);

  describe("does not start with keys that are not its own, names the file, and makes none", () => {
    it.each<[string, () => Promise<unknown>, string, RegExp]>([
      ["a lost secret key", () => rm(secretKey()), "secret.key", /is missing/],
      ["another secret key", () => writeFile(secretKey(), `${randomBytes(32).toString("hex")}\n`), "secret.key", /another one/],
      ["a truncated secret key", () => truncate(secretKey(), 30), "secret.key", /is damaged/],
      ["an empty secret key", () => truncate(secretKey(), 0), "secret.key", /is damaged/],
      ["a secret key that is endless", () => truncate(secretKey(), 1 << 30), "secret.key", /is damaged/],
      ["a secret key that is no file", () => rm(secretKey()).then(() => mkdir(secretKey())), "secret.key", /is no file|EISDIR/],
      ["a secret key that all may read", () => chmod(secretKey(), 0o644), "secret.key", /mode 644.* read it/],
      ["a secret key of another user", () => chown(secretKey(), 65_534, 65_534), "secret.key", /belongs to the user 65534/],
      ["a link to bytes without end", () => replaceKey(() => symlink("/dev/zero", secretKey())), "secret.key", /is no file/],
      ["a pipe that nobody writes to", () => replaceKey(() => execa("mkfifo", [secretKey()])), "secret.key", /is no file/],
      ["a lost certificate of the authority", () => rm(pki("ca.pem")), "ca.pem", /is missing/],
      ["a lost key of the authority", () => rm(pki("ca.key")), "ca.key", /is missing/],
      ["a lost authority", () => rm(join(dataDir, "pki"), { recursive: true }), "ca.pem", /is missing/],
      ["another authority", () => putOtherAuthority(["certPem", "keyPem"]), "ca.pem", /another one/],
      ["the key of another authority", () => putOtherAuthority(["keyPem"]), "ca.key", /not of one authority/],
      ["a certificate that all may change", () => chmod(pki("ca.pem"), 0o666), "ca.pem", /mode 666.* change it/],
      ["a damaged certificate", () => truncate(pki("ca.pem"), 100), "ca.pem", /damaged/],
      ["a damaged mark", () => truncate(join(dataDir, "installation.json"), 5), "installation.json", /is damaged/],
    ])("%s", async (_, damage, file, why) => {
      await damage();
      const before = await filesIn(dataDir);
      const { reason, message, next } = await refusalOf(dataDir);
      expect(reason).toBe("KEY_FILE_UNUSABLE");
      expect(message).toContain(join(dataDir, file === "ca.pem" || file === "ca.key" ? "pki" : "", file));
      expect(message).toMatch(why);
      expect(next.join()).toContain(dataDir);
      expect(await filesIn(dataDir)).toEqual(before);
    });
  });

  it("does not start with an empty folder, with another's folder, or with its folder on an empty database", async () => {
    expect((await refusalOf(join(folder, "empty"))).message).toMatch(/secret\.key is missing/);
    await writeFile(join(dataDir, "installation.json"), '{ "id": "0d0e3d4a-0000-4000-8000-000000000000" }');
    expect((await refusalOf(dataDir)).reason).toBe("INSTALLATION_MISMATCH");
    await database.write((tx) => managerOf(tx).query("CREATE DATABASE nothing"));
    const config = configFor(placeOf(join(folder, "first")), { DECNET_DATABASE_URL: line.url.replace(/[^/]+$/, "nothing") });
    const { reason, message, next } = await refusalOf(join(folder, "first"), { config });
    expect(reason).toBe("INSTALLATION_MISMATCH");
    expect(message).toMatch(/the database is empty$/);
    expect(next.join()).toContain("DECNET_DATABASE_URL");
  });

  it("goes on with its keys, also after a start that was cut off between its keys and its database", async () => {
    const master = await use(dataDir);
    expect((await readyz(master.port))[1]).toEqual({ database: "ok", engine: "ok", containment: "ok", keys: "ok" });
    await endAll();
    await rm(join(dataDir, "installation.json"));
    await database.write((tx) => managerOf(tx).query("CREATE DATABASE cut_off"));
    const config = configFor(placeOf(dataDir), { DECNET_DATABASE_URL: line.url.replace(/[^/]+$/, "cut_off") });
    const [key, authority] = await Promise.all([readFile(secretKey()), readFile(pki("ca.pem"))]);
    await begin(dataDir, { config });
    expect(await Promise.all([readFile(secretKey()), readFile(pki("ca.pem"))])).toEqual([key, authority]);
  });

  it("says in readyz what is wrong by now with a file that the next start needs", async () => {
    const { port } = await begin(dataDir);
    const keys = () => eventually(async () => (await readyz(port))[1]["keys"] !== "ok" && (await readyz(port)));
    const key = await readFile(secretKey());
    await writeFile(secretKey(), `${randomBytes(32).toString("hex")}\n`);
    const [status, said] = await keys();
    // It serves with the key that it has.
    expect([status, said["database"], said["keys"]]).toEqual([
      200,
      "ok",
      expect.stringContaining(`${secretKey()} is another one`),
    ]);
    await writeFile(secretKey(), key);
    await eventually(async () => (await readyz(port))[1]["keys"] === "ok");
  });

  it("is not ready any more when its database becomes another installation's", async () => {
    const { port } = await begin(dataDir);
    await read("UPDATE installation SET secret_key_check = 'x' || secret_key_check");
    try {
      const [status, said] = await eventually(async () => (await readyz(port))[0] === 503 && (await readyz(port)));
      expect([status, said["database"]]).toEqual([503, expect.stringContaining("another one than this master was started with")]);
    } finally {
      await read("UPDATE installation SET secret_key_check = substr(secret_key_check, 2)");
    }
  });

  it("adopts keys that were made before their checks were kept, if what is stored was sealed with them", async () => {
    const forget = () => read("UPDATE installation SET secret_key_check = NULL, authority_hash = NULL");
    await forget();
    const key = await readFile(secretKey());
    await writeFile(secretKey(), `${randomBytes(32).toString("hex")}\n`);
    expect((await refusalOf(dataDir)).message).toContain("is another key than the one that sealed what is in the database");
    await writeFile(secretKey(), key);
    await begin(dataDir);
    const [row] = await read<{ known: boolean }>(
      "SELECT secret_key_check IS NOT NULL AND authority_hash IS NOT NULL AS known FROM installation",
    );
    expect(row?.known).toBe(true);
  });

  it("is one master's: one with a copy of its folder is told who has the host, and takes it when that has stopped", async () => {
    const first = await begin(dataDir);
    const copy = join(folder, "copy");
    await cp(dataDir, copy, { recursive: true, filter: (from) => !from.endsWith(".alive") });
    const { reason, message, next } = await refusalOf(copy);
    expect(reason).toBe("HOST_CLAIMED");
    expect(message).toContain(`process ${process.pid} on `);
    expect(message).toContain(`the data folder ${dataDir}, since 2`);
    expect(next.join()).toContain("Stop that master first");
    expect((await readyz(first.port))[0]).toBe(200);
    await end(first);
    await begin(copy);
  });

  it("does nothing any more once another master has taken its host over, and says so", async () => {
    const displaced = new Promise<AppError>((onDisplaced) => void begin(dataDir, { onDisplaced }));
    await eventually(async () => running.length === 1);
    await read("UPDATE masters SET instance = gen_random_uuid(), holder = 'another', place = 'elsewhere'");
    const { reason, message } = await displaced;
    expect([reason, message]).toEqual(["HOST_CLAIMED", expect.stringContaining("elsewhere")]);
    const [master] = running as Master[];
    await eventually(async () => (await readyz(master?.port ?? 0))[0] === 503);
    await read("DELETE FROM masters");
  });

  it("is let go of by a master that was not heard of for a while, and never taken from one that was", async () => {
    const claims = createClaimStore(database);
    const claim = (holder: string) => ({
      host: "edge",
      holder,
      instance: `00000000-0000-4000-8000-00000000000${holder}`,
      place: holder,
    });
    expect(await claims.take(claim("1"))).toBeUndefined();
    expect(await claims.take(claim("2"))).toMatchObject({ place: "1" });
    await read("UPDATE masters SET seen_at = seen_at - interval '20 seconds' WHERE host = 'edge'");
    expect(await claims.take(claim("2"))).toBeUndefined();
    expect(await claims.renew(claim("1"))).toMatchObject({ place: "2" });
    expect(await claims.renew(claim("2"))).toBeUndefined();
    // Restored from a backup of another time: nobody is there.
    await read("UPDATE masters SET seen_at = seen_at + interval '1 day' WHERE host = 'edge'");
    expect(await claims.take(claim("1"))).toBeUndefined();
    await claims.release(claim("2"));
    expect(await claims.take(claim("2"))).toMatchObject({ place: "1" });
    await claims.release(claim("1"));
    expect(await claims.take(claim("2"))).toBeUndefined();
    await claims.release(claim("2"));
  });

  it("of a later version is refused, with both versions, and stays as it is", async () => {
    await read("INSERT INTO migrations (timestamp, name) VALUES (1999999999999, 'Later1999999999999')");
    await read("UPDATE installation SET version = '9.8.7'");
    try {
      const { reason, message, next } = await refusalOf(dataDir);
      expect(reason).toBe("VERSION_TOO_OLD");
      expect(message).toMatch(/a later version, 9\.8\.7 \(Later1999999999999\); this is \d+\.\d+\.\d+/);
      expect(next.join()).toContain("Start decnet 9.8.7 or a later one");
      expect(await read("SELECT version FROM installation")).toEqual([{ version: "9.8.7" }]);
    } finally {
      await read("DELETE FROM migrations WHERE timestamp = 1999999999999");
    }
  });

  it.each([
    ["made by a version beside this one, though long ago", 1, "Forked0000000000001", "0.0.1"],
    ["of a version that it does not name", 1_999_999_999_999, "Later1999999999999", ""],
  ])("with a schema %s is refused and stays as it is", async (_, timestamp, name, version) => {
    const [known] = await read("SELECT version FROM installation");
    await read(`INSERT INTO migrations (timestamp, name) VALUES (${timestamp}, '${name}')`);
    await read(`UPDATE installation SET version = '${version}'`);
    try {
      const { reason, message } = await refusalOf(dataDir);
      expect([reason, message]).toEqual(["VERSION_TOO_OLD", expect.stringContaining(name)]);
      expect(await read("SELECT version FROM installation")).toEqual([{ version }]);
    } finally {
      await read(`DELETE FROM migrations WHERE name = '${name}'`);
      await read(`UPDATE installation SET version = '${(known as { version: string } | undefined)?.version ?? ""}'`);
    }
  });

  it("has one admin token of its own, however often the file is lost or damaged", async () => {
    const live = () => read<{ name: string }>("SELECT name FROM tokens WHERE revoked_at IS NULL AND created_by = 'first start'");
    const file = join(dataDir, "admin.token");
    for (const damage of [() => rm(file), () => truncate(file, 9), () => rm(file)]) {
      await damage();
      const master = await begin(dataDir);
      expect(master.adminToken).toBe("replaced");
      expect(await live()).toHaveLength(1);
      await end(master);
    }
    const kept = await begin(dataDir);
    expect(kept.adminToken).toBe("kept");
    await end(kept);
    await rm(file);
    await mkdir(file);
    expect((await refusalOf(dataDir)).message).toMatch(/admin\.token cannot be read/);
    // The others of this file go on with the token that they have.
    await rm(file, { recursive: true });
    await end(await begin(dataDir));
    await cp(file, join(folder, "first", "admin.token"));
  });

  it("stops within seconds while its database is not heard of", async () => {
    const master = await use(dataDir);
    const call = master.mutations.removeService({ decky, service: "http" }).catch(() => undefined);
    line.freeze();
    const since = performance.now();
    await end(master);
    expect(performance.now() - since).toBeLessThan(7_000);
    await call;
  });

  it("gets new keys for lost ones when it is told so: what the old key sealed is forgotten, all else stays", async () => {
    await rm(secretKey());
    await rm(join(dataDir, "pki"), { recursive: true });
    await end(await begin(dataDir, { replaceLostKeys: true }));
    const master = await use(dataDir);
    const { decky: shown } = await master.fleet.getDecky({ decky });
    expect(shown?.services.map(({ slug }) => slug).sort()).toContain("redis");
    expect(await read("SELECT 1 FROM decky_revisions WHERE services::text LIKE '%$sealed%'")).toEqual([]);
    await master.mutations.updateServiceConfig({ decky, service: "redis", config: { password } });
    await endAll();
    expect((await refusalOf(join(folder, "first"))).message).toMatch(/another one/);
  });
});
