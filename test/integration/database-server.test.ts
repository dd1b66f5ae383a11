import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { version } from "@decnet/common/version";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { RetryInfoSchema } from "@decnet/contract/gen/google/rpc/error_details_pb";
import { makeBackup } from "@decnet/master/backup/make-backup";
import { restoreBackup } from "@decnet/master/backup/restore-backup";
import { openDatabase } from "@decnet/master/store/database";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { ownProgram } from "../support/programs.ts";
import { type Daemon, startDaemon } from "../support/use-daemon.ts";
import { configFor, deploy, eventually, type Place, useMaster, usePlace } from "../support/use-master.ts";
import { type PostgresServer, usePostgres } from "../support/use-postgres.ts";

const passphrase = "correct horse battery staple";

/** As the one of an operator: somebody else runs it, and nobody gets in without TLS and a password. */
describe("a database server that is reached by TLS with a password", () => {
  let server: PostgresServer;
  let folder: string;
  const places: Place[] = [];
  const daemons: Daemon[] = [];
  const placeOf = (index: number) => places[index] ?? expect.fail("there is no such place");
  const envOf = (index: number, url: string) => ({
    ...{ DECNET_DATA_DIR: placeOf(index).dataDir, DECNET_DATABASE_URL: url, DECNET_PORT: "0" },
    DECNET_DOCKER_SOCKET: configFor(placeOf(index)).dockerSocket,
  });
  const start = async (index: number, url: string) => {
    const master = startDaemon("master", [], envOf(index, url));
    daemons.push(master);
    await master.said("master started");
    return master;
  };
  const decnet = async (words: string[], index: number, url: string, more: Record<string, string> = {}) => {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [...ownProgram("cli"), ...words], {
      env: { ...envOf(index, url), DECNET_BACKUP_PASSPHRASE: passphrase, ...more },
      reject: false,
      timeout: 120_000,
      stdin: "ignore",
    });
    return { exit: exitCode, stdout, stderr };
  };
  /** Of each kind of row, and of the keys that they are sealed with. */
  const contentOf = (database: string) =>
    server.admin(
      `SELECT id, secret_key_check, authority_hash, (SELECT count(*) FROM tokens), (SELECT array_agg(name) FROM migrations)
       FROM installation`,
      database,
    );
  const certified = (certFile?: string, keyFile?: string) => {
    const files = { sslmode: "verify-full", sslrootcert: server.caFile, sslcert: certFile, sslkey: keyFile };
    const query = Object.entries(files).flatMap(([name, file]) => (file === undefined ? [] : [`${name}=${file}`]));
    return server.url({ user: "certified", password: "", database: "certified", query: query.join("&") });
  };
  const verified = (file: string) => `sslmode=verify-full&sslrootcert=${file}`;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    for (let index = 0; index < 4; index += 1) places.push(await usePlace());
    server = await usePostgres();
    for (const name of ["second", "third"])
      await server.admin(`CREATE DATABASE ${name} OWNER decnet ENCODING UTF8 TEMPLATE template0`);
  });
  afterAll(async () => {
    for (const daemon of daemons) await daemon.stop();
    await server?.dispose();
    for (const place of places) await place.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it("has a master, a backup made of it while it runs, and that restored into another database", async () => {
    const first = await start(0, server.url());
    const connections = `SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'decnet'`;
    expect(await server.admin(connections)).toEqual(["t"]);
    const file = join(folder, "decnet.backup");
    const made = await decnet(["backup", file], 0, server.url());
    expect(made).toMatchObject({ exit: 0, stderr: "" });
    const second = server.url({ database: "second" });
    expect(await decnet(["restore", file], 1, second)).toMatchObject({ exit: 0, stderr: "" });
    expect(await contentOf("second")).toEqual(await contentOf("decnet"));
    expect((await contentOf("second")).length).toBe(1);
    await first.stop();
    // No master of the first place runs any more: this one drives its host.
    const restored = await start(1, second);
    await restored.stop();
    const said = [...first.log, ...restored.log].map((line) => JSON.stringify(line)).join("\n");
    expect([said, made.stdout].filter((text) => text.includes("p@ss") || text.includes("p%40ss"))).toEqual([]);
  });

  it("lets a master in by a certificate instead of a password, and its backup too", async () => {
    const url = certified(server.client.certFile, server.client.keyFile);
    const master = await start(3, url);
    const users = "SELECT DISTINCT usename, client_dn IS NOT NULL FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl";
    expect(await server.admin(users)).toContain("certified|t");
    expect(await decnet(["backup", join(folder, "certified.backup")], 3, url)).toMatchObject({ exit: 0, stderr: "" });
    await master.stop();
  });

  it("is trusted by the authorities of the machine when the URL names none, by the programs for backups too", async () => {
    const url = server.url({ query: "sslmode=verify-full" });
    const trusting = { NODE_EXTRA_CA_CERTS: server.caFile };
    expect(await decnet(["backup", join(folder, "trusted.backup")], 0, url, trusting)).toMatchObject({ exit: 0, stderr: "" });
  });

  it.each<[what: string, url: () => string, reason: string, message: RegExp]>([
    ["a wrong password", () => server.url({ password: "no" }), "STORAGE_REFUSED", /password \(.*failed for user "decnet"\)$/],
    ["a user that is not there", () => server.url({ user: "nobody" }), "STORAGE_REFUSED", /failed for user "nobody"/],
    ["no password", () => server.url({ password: "" }), "STORAGE_REFUSED", /refuses this master \(SASL/],
    ["a database that is not there", () => server.url({ database: "none" }), "STORAGE_REFUSED", /"none" does not exist/],
    [
      "another authority",
      () => server.url({ query: verified(server.otherCaFile) }),
      "STORAGE_UNTRUSTED",
      /not accepted \((unable|self-signed)/,
    ],
    ["an authority that nobody knows", () => server.url({ query: "sslmode=verify-full" }), "STORAGE_UNTRUSTED", /not accepted/],
    ["a file that is not there", () => server.url({ query: verified("/none.pem") }), "STORAGE_UNTRUSTED", /read \(.*none.pem/],
    ["no certificate", () => certified(), "STORAGE_REFUSED", /\(connection requires a valid client certificate\)$/],
    [
      "a certificate of another authority",
      () => certified(server.otherClient.certFile, server.otherClient.keyFile),
      "STORAGE_UNTRUSTED",
      /there is no TLS with the database server \(.*unknown ca/,
    ],
    [
      "a key of another certificate",
      () => certified(server.client.certFile, server.otherClient.keyFile),
      "STORAGE_UNTRUSTED",
      /there is no TLS with the database server \(.*key values mismatch/,
    ],
    ["a certificate without its key", () => certified(server.client.certFile), "STORAGE_REFUSED", /valid client certificate\)$/],
    ["no TLS", () => server.url({ query: "" }), "STORAGE_UNTRUSTED", /without TLS \(no pg_hba.conf entry/],
    ["a name that nobody knows", () => server.url({ host: "db.invalid" }), "STORAGE_UNAVAILABLE", /\(.*db.invalid\)$/],
    [
      "a port that nobody has",
      () => server.url().replace(`:${server.port}/`, ":1/"),
      "STORAGE_UNAVAILABLE",
      /REFUSED 127.0.0.1:1/,
    ],
  ])(
    "says what is wrong with %s, to masters and for backups alike; nothing is written then",
    async (_what, url, reason, message) => {
      const refusalOf = async (work: Promise<unknown>) => {
        const error = await work.then(
          () => "done",
          (failure: unknown) => failure,
        );
        expect(error).toBeInstanceOf(AppError);
        expect(error).toMatchObject({ reason, message: expect.stringMatching(message) });
        expect((error as AppError).next).toHaveLength(1);
      };
      const options = { databaseUrl: url(), passphrase, version };
      await refusalOf(openDatabase({ url: url() }));
      await refusalOf(makeBackup({ ...options, dataDir: placeOf(0).dataDir, file: join(folder, "none.backup") }));
      await refusalOf(restoreBackup({ ...options, dataDir: placeOf(2).dataDir, file: join(folder, "decnet.backup") }));
      expect(await readdir(placeOf(2).dataDir)).toEqual([]);
      expect(await readdir(folder)).not.toContain("none.backup.part");
    },
  );

  it.each([
    ["STORAGE_REFUSED", () => server.url({ password: "no" }), /pg_hba/],
    ["STORAGE_UNTRUSTED", () => server.url({ query: verified(server.otherCaFile) }), /sslrootcert=FILE/],
  ])("ends a master that starts, and a backup, with the reason and what to do: %s", async (reason, url, next) => {
    const backup = decnet(["backup", join(folder, "none.backup")], 0, url());
    const master = startDaemon("master", [], envOf(2, url()));
    const { why, next: steps, ...said } = await master.said("the master cannot start");
    expect(said).toMatchObject({ reason });
    expect(why).not.toContain("no@");
    expect(String(steps)).toMatch(next);
    await eventually(async () => master.exitCode() === 6);
    const { exit, stderr } = await backup;
    expect([exit, stderr]).toEqual([6, expect.stringMatching(new RegExp(`^error: ${reason} .*\\n next: .*${next.source}`))]);
  });

  it("refuses a database in which the master may make no tables", async () => {
    await server.admin("CREATE DATABASE foreign_one ENCODING UTF8 TEMPLATE template0");
    const error = await openDatabase({ url: server.url({ database: "foreign_one" }) }).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ reason: "STORAGE_REFUSED", message: expect.stringContaining("permission denied for schema") });
  });

  it("that gets another password while a master runs makes calls wait, and nothing more", async () => {
    const master = await useMaster({
      place: { ...placeOf(2), dispose: async () => undefined },
      env: { DECNET_DATABASE_URL: server.url({ database: "third" }) },
      // It complains, as it should.
      log: createLogger("test", "fatal"),
      openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
    });
    try {
      await deploy(master, { a: ["redis"] });
      const add = () => master.mutations.addService({ decky: { name: `${master.prefix}-a` }, service: "http" });
      await server.changePassword("another");
      const refusal = await eventually(async () => {
        const error = await add().then(() => undefined, ConnectError.from);
        // Whoever was connected is told first that this is over.
        return error !== undefined && fromConnectError(error).reason !== "STORAGE_UNAVAILABLE" && error;
      });
      expect(fromConnectError(refusal)).toMatchObject({
        reason: "STORAGE_REFUSED",
        message: "the database refuses the user name or the password",
      });
      expect(refusal.findDetails(RetryInfoSchema)).toHaveLength(1);
      await server.changePassword("the right one");
      const { operation } = await eventually(() => add().catch(() => undefined));
      expect(operation?.state).toBe(OperationState.SUCCEEDED);
    } finally {
      await master.dispose();
    }
  });
});
