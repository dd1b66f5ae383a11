import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import https from "node:https";
import { join } from "node:path";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { createRetention, type RetentionLimits } from "@decnet/master/store/retention";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createScriptedEngine, type ScriptedEngine } from "../support/scripted-engine.ts";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

const dayMs = 86_400_000;
const forEver = { ms: 36_500 * dayMs, rows: 1_000_000 };
const keepAll: RetentionLimits = {
  ...{ audit: forEver, events: forEver, operations: forEver, refusedJoins: forEver },
  ...{ revisions: forEver, joinTokens: forEver },
};
const never = new AbortController().signal;

const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => "done",
    (error: unknown) => fromConnectError(error).reason,
  );

describe("what is kept of what happened", () => {
  let master: TestMaster;
  let scripted: ScriptedEngine;
  let database: Database;
  let ca: string;
  const agents = new https.Agent({ keepAlive: true, maxSockets: 16 });

  beforeAll(async () => {
    master = await useMaster({
      env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0" },
      openHostEngine: async ({ catalog }) => {
        scripted = createScriptedEngine(catalog, "test");
        return scripted.engine;
      },
    });
    database = await openDatabase(await openPrivatePostgres(master.config.dataDir));
    ca = await readFile(join(master.config.dataDir, "pki", "ca.pem"), "utf8");
    await deploy(master, { a: ["redis"], b: ["redis"] });
  });
  afterAll(async () => {
    agents.destroy();
    await database.close();
    await master.dispose();
  });

  const enroll = (token: { id: string; secret: string }, csr: string, userAgent: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const address = { host: "127.0.0.1", port: master.tlsPort, path: "/decnet.v1.EnrollmentService/Enroll", method: "POST" };
      const headers = { "content-type": "application/json", "user-agent": userAgent };
      const request = https.request({ ...address, ca, agent: agents, headers });
      // Whoever goes on trying is cut, also just when the next call begins.
      const onError = (error: NodeJS.ErrnoException) => (error.code === "ECONNRESET" ? resolve("cut") : reject(error));
      request.once("error", onError).once("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.once("error", onError).once("end", () => resolve(text));
      });
      request.end(JSON.stringify({ tokenId: token.id, tokenSecret: token.secret, csr, facts: { machineName: userAgent } }));
    });
  const sql = (text: string, values: unknown[] = []): Promise<{ count: number }[]> =>
    database.read((tx) => managerOf(tx).query(text, values));
  const count = async (table: string, where = "true") =>
    (await sql(`SELECT count(*)::int AS count FROM ${table} WHERE ${where}`))[0]?.count ?? 0;

  it("an anonymous caller's refused joins are counted, and push out nobody's", { timeout: 60_000 }, async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "edge" });
    const { secret, token } = await master.swarm.createJoinToken({ hostName: "edge" });
    await master.swarm.revokeJoinToken({ id: token?.id ?? "" });
    await enroll(parseJoinToken(secret), csrPem, "an honest machine");
    const attempts = 300;
    const rows = { audit: await count("audit"), refused: await count("refused_joins") };
    const numbers = Array.from({ length: attempts }, (_, at) => at);
    const answers = await Promise.all(
      numbers.map((at) => enroll({ id: `jt-${randomUUID().slice(0, 8)}`, secret: "s" }, csrPem, `machine ${at}`)),
    );
    // A master that is busy with others hears fewer strangers, and tells the rest to come again.
    const heard = answers.filter((text) => text.includes("TOKEN_INVALID")).length;
    expect(answers.filter((text) => !/TOKEN_INVALID|resource_exhausted|too many calls|^cut$/.test(text))).toEqual([]);
    expect(heard).toBeGreaterThan(10);
    expect((await count("audit")) - rows.audit).toBeLessThanOrEqual(2);
    expect((await count("refused_joins")) - rows.refused).toBeLessThanOrEqual(2);

    const { refused } = await master.swarm.listRefusedJoins({ pageSize: 5 });
    expect(refused.map(({ hostName, reason }) => [hostName, reason])).toContainEqual(["edge", "TOKEN_REVOKED"]);
    const strangers = refused.filter(({ hostName }) => hostName === "");
    expect(strangers.reduce((sum, { times }) => sum + times, 0)).toBe(heard);
    const { entries } = await master.access.listAudit({ filter: "action=*Enroll,outcome=TOKEN_INVALID" });
    expect(entries.reduce((sum, { times }) => sum + times, 0)).toBe(heard);
  });

  it("what a stranger is refused is counted, whatever he calls, whoever he says he is", async () => {
    const before = await count("audit");
    const methods = ["FleetService/ApplyFleet", "AccessService/WhoAmI", "MutationService/AddService", "SwarmService/ListHosts"];
    for (let at = 0; at < 120; at += 1) {
      const response = await fetch(`http://127.0.0.1:${master.port}/decnet.v1.${methods[at % methods.length] ?? ""}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${randomUUID()}`, "user-agent": `agent ${at}` },
        body: "{}",
      }).catch(() => undefined);
      // Whoever goes on trying is cut.
      if (response !== undefined) expect([401, 429, 503]).toContain(response.status);
      await response?.body?.cancel();
    }
    expect((await count("audit")) - before).toBeLessThanOrEqual(2 * methods.length);
  });

  it("what a known caller is refused again and again is told a hundred times, and counted then", async () => {
    const attempts = 150;
    let asked = 0;
    // Of another decky each time: what a caller chose is in no key.
    const ask = () => {
      asked += 1;
      return reasonOf(master.mutations.addService({ decky: { name: `nobody-${asked}` }, service: "redis" }));
    };
    const before = await count("audit");
    for (let at = 0; at < attempts; at += 50) await Promise.all(Array.from({ length: 50 }, ask));
    expect((await count("audit")) - before).toBeLessThanOrEqual(101);
    const { entries } = await master.access.listAudit({ filter: "outcome=DECKY_NOT_FOUND", pageSize: 1_000 });
    expect(entries.reduce((sum, { times }) => sum + times, 0)).toBe(attempts);
  });

  it("what is kept no longer goes in batches, by several masters at once, and nothing that is open", async () => {
    const retention = createRetention(database);
    const old = new Date(Date.now() - 10 * dayMs).toISOString();
    await sql(
      `INSERT INTO audit SELECT gen_random_uuid(), $1::timestamptz + number * interval '1 ms', 'ann', 'a', '', 'accepted',
         '', '', '', 1
       FROM generate_series(1, 3000) AS each (number)`,
      [old],
    );
    await sql(
      `INSERT INTO operations SELECT 'op-old-' || number, 'add_service',
         CASE WHEN number % 10 = 0 THEN 'running' ELSE 'failed' END,
         NULL, 'fleet', 'gone', 'local', '', 1, 'ann', '', NULL, '', 'undo', '', NULL, NULL, NULL, NULL, false,
         $1::timestamptz, NULL, CASE WHEN number % 10 = 0 THEN NULL ELSE $1::timestamptz END, 'queue'
       FROM generate_series(1, 1000) AS each (number)`,
      [old],
    );
    await sql("UPDATE operations SET parent = 'op-old-10' WHERE id = 'op-old-11'");
    const open = await count("operations", "state = 'running'");
    const audit = await count("audit");
    const limits = { ...keepAll, audit: { ms: 5 * dayMs, rows: 1_000_000 }, operations: { ms: 5 * dayMs, rows: 1_000_000 } };
    const sweeps = await Promise.all([1, 2, 3].map(() => retention.sweep(limits, never)));
    const last = await retention.sweep(limits, never);
    const removed = [...sweeps, last];
    const sum = (what: "audit" | "operations") => removed.reduce((total, each) => total + each[what], 0);
    expect(sum("audit")).toBe(3_000);
    expect(await count("audit")).toBe(audit - 3_000);
    expect(sum("operations")).toBe(899);
    expect(await count("operations", "state = 'running'")).toBe(open);
    expect(await count("operations", "id = 'op-old-11'"), "a part of an operation that is open").toBe(1);
    const failure = await master.operations.getOperation({ id: "op-old-1" }).catch((error: unknown) => fromConnectError(error));
    expect(failure).toMatchObject({ reason: "OPERATION_NOT_FOUND", message: expect.stringContaining("are not kept") });
    await sql("DELETE FROM operations WHERE id LIKE 'op-old-%'");
  });

  it("of old revisions a decky's newest stay, and what it is, was seen to be, and is about to go back to", async () => {
    const name = `${master.prefix}-a`;
    const named = `name = '${name}'`;
    await sql(
      `INSERT INTO decky_revisions SELECT id, 1 + each.number, services, 'ann', '', '',
         now() - CASE WHEN each.number = 29 THEN interval '0' ELSE interval '100 days' END
       FROM deckies JOIN decky_revisions ON decky_id = id CROSS JOIN generate_series(1, 59) AS each (number)
       WHERE ${named} AND decky_revisions.number = 1`,
    );
    // Its host is away: nobody applies anything meanwhile.
    await sql(
      `UPDATE deckies SET host = 'away', desired_revision = 60, applied_revision = 5, rendered_revision = 7 WHERE ${named}`,
    );
    await sql(
      `INSERT INTO operations SELECT 'op-waits', 'add_service', 'pending', id, 'fleet', '${name}', 'local', '', 21,
         'ann', '', NULL, '', 'undo', '', NULL, NULL, NULL, NULL, false, now(), NULL, NULL, 'queue' FROM deckies WHERE ${named}`,
    );
    const limits = { ...keepAll, revisions: { ms: 90 * dayMs, rows: 10 } };
    const removed = (await createRetention(database).sweep(limits, never)).revisions;
    await sql("DELETE FROM operations WHERE id = 'op-waits'");
    const kept = await database.read<{ number: number }[]>((tx) =>
      managerOf(tx).query(`SELECT number FROM decky_revisions JOIN deckies ON id = decky_id WHERE ${named} ORDER BY number`),
    );
    const newest = Array.from({ length: 10 }, (_, at) => 51 + at);
    // The first one and the thirtieth are of today.
    expect(kept.map(({ number }) => number)).toEqual([1, 5, 7, 20, 21, 30, ...newest]);
    expect(removed).toBe(60 - kept.length);

    const pages: number[][] = [];
    for (let pageToken = "", at = 0; at < 3; at += 1) {
      const page = await master.fleet.listRevisions({ decky: { name }, pageSize: 7, pageToken });
      pages.push(...page.revisions.map((each) => [each.number, each.comparedTo]));
      pageToken = page.nextPageToken;
    }
    expect(pages.map(([number]) => number)).toEqual(kept.map(({ number }) => number).reverse());
    expect(pages.slice(9, 11)).toEqual([
      [51, 30],
      [30, 21],
    ]);
    await sql(`DELETE FROM decky_revisions WHERE number = 1 AND decky_id = (SELECT id FROM deckies WHERE ${named})`);
    const { revisions } = await master.fleet.listRevisions({ decky: { name }, revision: 5 });
    expect(revisions).toMatchObject([{ number: 5, comparedTo: 0, changes: [] }]);
    const asked = master.fleet.restoreRevision({ decky: { name }, revision: 12 });
    expect(await asked.catch((error: unknown) => fromConnectError(error))).toMatchObject({
      reason: "REVISION_NOT_FOUND",
      message: expect.stringContaining("older than what is kept"),
    });
  });

  it("of join tokens those go that ended or were revoked long ago", async () => {
    await sql(
      `INSERT INTO join_tokens SELECT 'jt-' || name, 'edge', '00', '{}', now(), 'ann', now() + ends, now() + used, NULL,
         now() + revoked
       FROM (VALUES ('open', interval '1 h', NULL::interval, NULL::interval), ('expired', '-10 d', NULL, NULL),
         ('lately', '-1 d', NULL, NULL), ('revoked', '1 h', NULL, '-10 d'), ('used', '1 h', '-10 d', NULL),
         ('used-up', '-10 d', '-11 d', NULL)) AS each (name, ends, used, revoked)`,
    );
    const limits = { ...keepAll, joinTokens: { ms: 5 * dayMs, rows: 1_000 } };
    expect((await createRetention(database).sweep(limits, never)).joinTokens).toBe(3);
    const { tokens } = await master.swarm.listJoinTokens({});
    expect(
      tokens
        .map(({ id }) => id)
        .filter((id) => /^jt-[a-z-]+$/.test(id))
        .sort(),
    ).toEqual(["jt-lately", "jt-open", "jt-used"]);
    // Ended by number: an open one is never among them.
    await createRetention(database).sweep({ ...keepAll, joinTokens: { ms: forEver.ms, rows: 0 } }, never);
    expect((await master.swarm.listJoinTokens({})).tokens.map(({ id }) => id).sort()).toEqual(["jt-open", "jt-used"]);
  });

  it("a page that begins after what was removed is refused, and never an empty end", async () => {
    const { nextPageToken } = await master.operations.listOperations({ pageSize: 1 });
    const { nextPageToken: audited } = await master.access.listAudit({ pageSize: 1 });
    expect([nextPageToken, audited]).not.toContain("");
    const retention = createRetention(database);
    await retention.sweep({ ...keepAll, audit: { ms: 0, rows: 0 } }, never);
    expect(await reasonOf(master.access.listAudit({ pageSize: 1, pageToken: audited }))).toBe("CURSOR_EXPIRED");
    expect(await reasonOf(master.operations.listOperations({ pageSize: 1, pageToken: nextPageToken }))).toBe("done");
  });

  it("a cursor from before what is kept is refused with the oldest there is; one from within it goes on", async () => {
    const follow = async (request: { cursor?: string; since?: { seconds: bigint } }): Promise<string> => {
      const stop = new AbortController();
      try {
        for await (const { item } of master.events.subscribe(request, { signal: stop.signal })) return String(item.value?.cursor);
        return "ended";
      } finally {
        stop.abort();
      }
    };
    const since = { seconds: BigInt(Math.floor(Date.now() / 1_000) - 3_600) };
    const head = await follow({});
    const oldest = BigInt(head) - 3n;
    expect(await follow({ cursor: "1" })).toBe("1");
    expect(await follow({ since })).toBeDefined();
    await createRetention(database).sweep({ ...keepAll, events: { ms: forEver.ms, rows: 3 } }, never);

    const failure = await follow({ cursor: "1" }).catch((error: unknown) => fromConnectError(error));
    expect(failure).toMatchObject({ reason: "CURSOR_EXPIRED", metadata: { oldest: String(oldest) } });
    expect(await reasonOf(follow({ since }))).toBe("CURSOR_EXPIRED");
    expect(await follow({ cursor: String(oldest) })).toBe(String(oldest));
    // Also when none is left: what a reader saw last is still where he goes on.
    await createRetention(database).sweep({ ...keepAll, events: { ms: forEver.ms, rows: 0 } }, never);
    expect(await follow({ cursor: head })).toBe(head);
    expect(await follow({})).toBe(head);
  });
});
