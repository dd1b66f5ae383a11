import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { type Operation, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../support/free-ports.ts";
import { type KillableAgent, startKillableAgent } from "../support/killable-agent.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { eventually } from "../support/use-master.ts";

/** A change that the master said it has. */
interface Acknowledged {
  readonly decky: string;
  readonly verb: "add" | "remove";
  readonly service: string;
  readonly requestId: string;
  readonly operation: string;
}

/** Of each kind as many as of each other: `npm run kills` has sixty. */
const kinds = ["master", "postmaster", "database", "agent", "master and database", "master and agent"] as const;
const kills = Array.from(
  { length: Number(process.env["DECNET_KILLS"] ?? "12") },
  (_, at) => kinds[at % kinds.length] ?? "master",
);
const callers = 4;
const workers = ["edge-1", "edge-2"];
/** Each caller changes one decky on the master's own host, and one on each worker. */
const places = ["local", ...workers];
/** So many changes are acknowledged between two kills, at least; each kill comes at a random moment after them. */
const between = 6;
const mostDelayMs = 400;
/** A call that meets one kill after another waits for a while. */
const patienceMs = 180_000;
const kept = "http";
const slugs = ["redis", "ftp", "telnet"];
/** What a caller sees of a kill. Everything else would be a refusal of a change that is right. */
const passing = new Set(["STORAGE_UNAVAILABLE", "HOST_UNREACHABLE", "SHUTTING_DOWN", "WAIT_ENDED"]);

describe(`a master, its database and its agents that are killed ${kills.length} times under ${callers} callers`, () => {
  let dataDir: string;
  let master: KillableMaster;
  const agents: KillableAgent[] = [];
  let database: Database;
  const acknowledged: Acknowledged[] = [];
  const refusals: string[] = [];
  const followed: string[] = [];
  const wanted = new Map<string, Set<string>>();
  let isOver = false;

  /** Asks again with the same id until there is an answer. */
  const ask = async (change: Omit<Acknowledged, "operation">, wait: Wait): Promise<Operation | undefined> => {
    const { decky: name, verb, service, requestId } = change;
    const request = { decky: { name }, service, options: { requestId, wait } };
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
      const { mutations } = master.clients;
      try {
        const { operation } = await (verb === "add" ? mutations.addService(request) : mutations.removeService(request));
        return operation;
      } catch (error) {
        const { reason, message } = fromConnectError(error);
        if (!passing.has(reason) && !isCutOff(error)) {
          refusals.push(`${verb} ${service} of ${name}: ${reason} ${message}`);
          return undefined;
        }
        await delay(50);
      }
    }
    refusals.push(`${verb} ${service} of ${name}: no answer`);
    return undefined;
  };

  /**
   * Changes deckies of its own in turns. Every other caller does not wait for the end, so that changes of one decky pile up.
   */
  const call = async (at: number): Promise<void> => {
    const wait = at % 2 === 0 ? Wait.APPLIED : Wait.ACCEPTED;
    for (let turn = 0; !isOver; turn += 1) {
      const decky = nameOf(at, places[turn % places.length] ?? "local");
      const services = wanted.get(decky) ?? expect.fail("there is no such decky");
      const service = slugs[Math.floor(Math.random() * slugs.length)] ?? "";
      const verb = services.has(service) ? "remove" : "add";
      const requestId = randomUUID();
      const operation = await ask({ decky, verb, service, requestId }, wait);
      if (operation === undefined) return;
      if (!services.delete(service)) services.add(service);
      acknowledged.push({ decky, verb, service, requestId, operation: operation.id });
    }
  };

  /** Reads events, and goes on after the last one whenever the connection was lost. */
  const follow = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        for await (const { item } of master.clients.events.subscribe({ cursor: followed.at(-1) ?? "0" }, { signal }))
          if (item.case === "event") followed.push(item.value.cursor);
      } catch {
        await delay(50);
      }
    }
  };

  const strike = async (kind: (typeof kinds)[number]): Promise<void> => {
    const agent = agents[Math.floor(Math.random() * agents.length)] ?? expect.fail("there is no agent");
    if (kind === "postmaster") await master.killDatabase("postmaster");
    if (kind.includes("database")) await master.killDatabase("all");
    await Promise.all([kind.includes("master") && master.killMaster(), kind.includes("agent") && agent.kill()]);
  };

  const progress = async (): Promise<void> => {
    const enough = acknowledged.length + between;
    await eventually(async () => {
      expect(refusals).toEqual([]);
      return acknowledged.length >= enough;
    }, patienceMs);
  };
  const read = <Row>(text: string): Promise<Row[]> => database.read((tx) => managerOf(tx).query(text));
  const count = async (from: string): Promise<number> =>
    Number((await read<{ count: string }>(`SELECT count(*) AS count FROM ${from}`))[0]?.count);

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(dataDir, 0o711);
    const env = {
      DECNET_DRIFT_INTERVAL_MS: "3600000",
      DECNET_PARALLEL: "6",
      STEP_MS: "20",
      DECNET_TLS_HOST: "127.0.0.1",
      DECNET_TLS_PORT: String(await freePort()),
      DECNET_ADVERTISE: "127.0.0.1",
    };
    master = await startKillableMaster(dataDir, env);
    for (const name of workers)
      agents.push(await startKillableAgent(master, { name, stateDir: join(dataDir, name), env: { STEP_MS: "20" } }));
    await eventually(async () =>
      (await master.clients.swarm.listHosts({})).hosts.every(({ state }) => state === HostState.CONNECTED),
    );
    const deckies = Array.from({ length: callers }, (_, at) =>
      places.map((host) => ({
        name: nameOf(at, host),
        services: [{ slug: kept }],
        placement: { where: { case: "host" as const, value: host } },
      })),
    ).flat();
    for (const { name } of deckies) wanted.set(name, new Set());
    await master.clients.fleet.applyFleet({ fleet: { lan: { name: "lan", subnet: "10.77.0.0/24" }, deckies } });

    const following = new AbortController();
    const reader = follow(following.signal);
    const atWork = Promise.all(Array.from({ length: callers }, (_, at) => call(at)));
    for (const kill of shuffled(kills)) {
      await progress();
      await delay(Math.random() * mostDelayMs);
      await strike(kill);
    }
    await progress();
    isOver = true;
    await atWork;
    database = await openDatabase(await openPrivatePostgres(dataDir));
    await eventually(async () => (await count("operations WHERE state IN ('pending', 'running')")) === 0, patienceMs).catch(
      () => undefined,
    );
    const last = (await read<{ last: string }>("SELECT max(position)::text AS last FROM outbox"))[0]?.last ?? "";
    await eventually(async () => followed.at(-1) === last);
    following.abort();
    await reader;
  }, 1_800_000);
  afterAll(async () => {
    await database?.close();
    for (const agent of agents) await agent.stop();
    await master?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it("refuses no change and breaks nowhere", () => {
    expect(refusals).toEqual([]);
    expect(acknowledged.length).toBeGreaterThanOrEqual(kills.length * between);
    const lines = master.log.split("\n").filter((line) => /"msg":"[^"]*unexpectedly/.test(line));
    expect(lines).toEqual([]);
  });

  it("leaves no operation open", async () => {
    expect(await read("SELECT id, kind, state, decky_name FROM operations WHERE state IN ('pending', 'running')")).toEqual([]);
  });

  it("has every acknowledged change once, and no other", async () => {
    const stored = await read<{ id: string; request: string; state: string }>(
      "SELECT id, request_id AS request, state FROM operations WHERE kind IN ('add_service', 'remove_service') ORDER BY id",
    );
    expect(stored.map(({ id, request }) => `${id} ${request}`)).toEqual(
      acknowledged.map(({ operation, requestId }) => `${operation} ${requestId}`).sort(),
    );
    // A change that is taken back before it is applied never was: only callers that do not wait can do that.
    expect([...new Set(stored.map(({ state }) => state))].filter((state) => state !== "superseded")).toEqual(["succeeded"]);
    const audited = await read<{ id: string }>("SELECT DISTINCT operation_id AS id FROM audit");
    const onRecord = new Set(audited.map(({ id }) => id));
    expect(acknowledged.filter(({ operation }) => !onRecord.has(operation))).toEqual([]);
  });

  it("numbers the revisions of each decky without a gap, and has applied the last", async () => {
    const rows = await read<{ name: string; numbers: number[]; desired: number; applied: number }>(
      `SELECT decky.name, decky.desired_revision AS desired, decky.applied_revision AS applied,
         (SELECT array_agg(number ORDER BY number) FROM decky_revisions WHERE decky_id = decky.id) AS numbers
       FROM deckies AS decky`,
    );
    expect(rows).toHaveLength(wanted.size);
    for (const { name, numbers, desired, applied } of rows) {
      const last = 1 + acknowledged.filter(({ decky }) => decky === name).length;
      expect([desired, applied], name).toEqual([last, last]);
      expect(numbers, name).toEqual(Array.from({ length: last }, (_, at) => at + 1));
    }
  });

  it("has the services that each caller was told of, and all deckies run", async () => {
    for (const [name, services] of wanted) {
      const { decky } = await master.clients.fleet.getDecky({ decky: { name } });
      expect(decky?.services.map(({ slug }) => slug).sort(), name).toEqual([kept, ...services].sort());
      expect(decky?.state, name).toBe(DeckyState.RUNNING);
    }
  });

  it("tells the end of each operation once, and those of one decky in the order of its revisions", async () => {
    const told = await read<{ key: string; operation: string; revision: number; state: string }>(
      `SELECT key, payload ->> 'operation' AS operation, (payload ->> 'revision')::int AS revision, payload ->> 'state' AS state
       FROM outbox WHERE topic LIKE 'decky.%.lifecycle' ORDER BY position`,
    );
    const ended = await read<{ id: string; state: string }>("SELECT id, state FROM operations WHERE decky_id IS NOT NULL");
    expect(told.map(({ operation, state }) => `${operation} ${state}`).sort()).toEqual(
      ended.map(({ id, state }) => `${id} ${state}`).sort(),
    );
    const changes = new Set(acknowledged.map(({ operation }) => operation));
    for (const name of wanted.keys()) {
      const revisions = told.filter(({ key, operation }) => key === name && changes.has(operation)).map((each) => each.revision);
      expect(revisions, name).toEqual(revisions.map((_, at) => at + 2));
    }
    const served = await read<{ operation: string }>(
      "SELECT payload ->> 'operation' AS operation FROM outbox WHERE topic ~ '^decky[.].*[.]service_(added|removed)$'",
    );
    const succeeded = new Set(ended.filter(({ state }) => state === "succeeded").map(({ id }) => id));
    expect(served.map(({ operation }) => operation).sort()).toEqual([...changes].filter((id) => succeeded.has(id)).sort());
  });

  it("says of no decky of the master's own host that it is unknown: that was there all the time", async () => {
    const unknown = "topic LIKE '%.state' AND payload ->> 'state' = 'unknown' AND key LIKE '%-local'";
    expect(await read(`SELECT key, payload FROM outbox WHERE ${unknown}`)).toEqual([]);
  });

  it("shows a reader who goes on where he was every event once, in order", async () => {
    const positions = await read<{ position: string }>("SELECT position::text AS position FROM outbox ORDER BY outbox.position");
    expect(followed).toEqual(positions.map(({ position }) => position));
  });
});

function nameOf(caller: number, host: string): string {
  return `kill${caller + 1}-${host}`;
}

/** Of this machine, for a master that comes back where it was. */

/** The connection went away under a call: it is not known what became of it. */
function isCutOff(error: unknown): boolean {
  return /ECONNRE|socket hang up|stream closed|Premature close|session|http\/2|aborted|read ETIMEDOUT/i.test(String(error));
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((left, right) => left.at - right.at)
    .map(({ item }) => item);
}
