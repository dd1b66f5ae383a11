import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type Operation, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { RetryInfoSchema } from "@decnet/contract/gen/google/rpc/error_details_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { KillableMaster } from "../support/killable-master.ts";
import { fleetOn, isConnected, type SeveralMasters, useSeveralMasters } from "../support/several-masters.ts";

interface Acknowledged {
  readonly decky: string;
  readonly requestId: string;
  readonly operation: string;
}

const callers = 4;
const places = ["m1", "m2", "edge-1"];
const slugs = ["redis", "ftp", "telnet"];
/** So many changes are acknowledged between two troubles, at least. */
const between = 12;
const patienceMs = 90_000;
/** How long the server stands still: `DECNET_DATABASE_STOPPED_S=20` is what a lost network takes. */
const stoppedMs = Number(process.env["DECNET_DATABASE_STOPPED_S"] ?? "9") * 1_000;
/** A caller knows so soon that nothing can be done for him. */
const toldWithinMs = 9_000;

describe("two masters whose database server is restarted, killed, and stands still under load", () => {
  let several: SeveralMasters;
  const serving = new AbortController();
  let kept: Promise<void>;
  const acknowledged: Acknowledged[] = [];
  const wanted = new Map<string, Set<string>>();
  /** What callers were told that is no reason to ask again. */
  const refusals: string[] = [];
  /** How long it took to be told that the database is away, with how long to wait. */
  const toldAfter: number[] = [];
  let isOver = false;

  const masterOf = (turn: number): KillableMaster => several.masters[turn % 2] ?? expect.fail("there is no such master");

  /** Asks again with the same id, one master and then the other, until there is an answer. */
  const ask = async (decky: string, verb: "add" | "remove", service: string, wait: Wait): Promise<Operation | undefined> => {
    const request = { decky: { name: decky }, service, options: { requestId: randomUUID(), wait } };
    const deadline = Date.now() + patienceMs;
    for (let turn = Math.floor(Math.random() * 2); Date.now() < deadline; turn += 1) {
      const { mutations } = masterOf(turn).clients;
      const since = performance.now();
      try {
        const { operation } = await (verb === "add" ? mutations.addService(request) : mutations.removeService(request));
        return operation;
      } catch (error) {
        const { reason, message } = fromConnectError(error);
        if (!saysWhenToComeAgain(error)) {
          refusals.push(`${verb} ${service} of ${decky}: ${reason} ${message}`);
          return undefined;
        }
        if (reason === "STORAGE_UNAVAILABLE") toldAfter.push(performance.now() - since);
        await delay(100);
      }
    }
    refusals.push(`${verb} ${service} of ${decky}: no answer`);
    return undefined;
  };

  /** Changes deckies of its own in turns; every other caller does not wait for the end. */
  const call = async (at: number): Promise<void> => {
    const wait = at % 2 === 0 ? Wait.APPLIED : Wait.ACCEPTED;
    for (let turn = 0; !isOver; turn += 1) {
      const decky = `c${at}-${places[turn % places.length] ?? ""}`;
      const services = wanted.get(decky) ?? expect.fail("there is no such decky");
      const service = slugs[Math.floor(Math.random() * slugs.length)] ?? "";
      const operation = await ask(decky, services.has(service) ? "remove" : "add", service, wait);
      if (operation === undefined) return;
      if (!services.delete(service)) services.add(service);
      acknowledged.push({ decky, requestId: operation.requestId, operation: operation.id });
    }
  };

  const processes = async (): Promise<number[]> => {
    const [pid = ""] = (await readFile(`${several.folder}/postgres/data/postmaster.pid`, "utf8")).split("\n");
    const { stdout } = await execa("ps", ["-o", "pid=", "--ppid", pid], { reject: false });
    return [pid, ...stdout.split("\n").filter((line) => line.trim() !== "")].map(Number);
  };
  /** The first process comes first: it makes no others then. */
  const signal = async (which: NodeJS.Signals) => {
    for (const pid of await processes())
      try {
        process.kill(pid, which);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
  };
  const progress = async () => {
    const enough = acknowledged.length + between;
    await eventually(async () => {
      expect(refusals).toEqual([]);
      return acknowledged.length >= enough;
    }, patienceMs);
  };

  beforeAll(async () => {
    several = await useSeveralMasters(2, { STEP_MS: "10" });
    await several.join(masterOf(1), "edge-1");
    await eventually(() => isConnected(masterOf(0), "edge-1"));
    kept = several.server.keepRunning(serving.signal, () => undefined);
    for (let at = 0; at < callers; at += 1) for (const place of places) wanted.set(`c${at}-${place}`, new Set());
    await masterOf(0).clients.fleet.applyFleet(
      fleetOn(Object.fromEntries([...wanted.keys()].map((name) => [name, name.replace(/^c\d-/, "")]))),
    );
    const atWork = Promise.all(Array.from({ length: callers }, (_, at) => call(at)));
    await progress();
    await several.server.stop();
    await progress();
    await signal("SIGKILL");
    await progress();
    await signal("SIGSTOP");
    await delay(stoppedMs).finally(() => signal("SIGCONT"));
    await progress();
    isOver = true;
    await atWork;
    await eventually(
      async () => (await several.query("SELECT 1 FROM operations WHERE state IN ('pending', 'running')")).length === 0,
      patienceMs,
    ).catch(() => undefined);
  }, 300_000);
  afterAll(async () => {
    serving.abort();
    await kept;
    await several?.dispose();
  });

  it("tell callers to come again, and when, and refuse them nothing", () => {
    expect(refusals).toEqual([]);
    expect(toldAfter.length).toBeGreaterThan(0);
    expect(Math.max(...toldAfter)).toBeLessThan(toldWithinMs);
  });

  it("have every acknowledged change once, and no other, and none of them half done", async () => {
    expect(await several.query("SELECT id, kind, state FROM operations WHERE state IN ('pending', 'running')")).toEqual([]);
    const stored = await several.query<{ id: string; state: string }>(
      "SELECT id, state FROM operations WHERE kind IN ('add_service', 'remove_service')",
    );
    expect(stored.map(({ id }) => id).sort()).toEqual(acknowledged.map(({ operation }) => operation).sort());
    expect(stored.filter(({ state }) => state !== "succeeded" && state !== "superseded")).toEqual([]);
    const told = await several.query<{ operation: string; state: string }>(
      `SELECT payload ->> 'operation' AS operation, payload ->> 'state' AS state FROM outbox
       WHERE topic LIKE 'decky.%.lifecycle'`,
    );
    const changes = new Set(stored.map(({ id }) => id));
    expect(
      told
        .filter(({ operation }) => changes.has(operation))
        .map(({ operation, state }) => `${operation} ${state}`)
        .sort(),
    ).toEqual(stored.map(({ id, state }) => `${id} ${state}`).sort());
    for (const [name, services] of wanted) {
      const last = 1 + acknowledged.filter(({ decky }) => decky === name).length;
      const rows = await several.query<{ desired: number; applied: number }>(
        "SELECT desired_revision AS desired, applied_revision AS applied FROM deckies WHERE name = $1",
        [name],
      );
      expect(rows, name).toEqual([{ desired: last, applied: last }]);
      const { decky } = await masterOf(0).clients.fleet.getDecky({ decky: { name } });
      expect(decky?.services.map(({ slug }) => slug).sort(), name).toEqual(["http", ...services].sort());
    }
  });
});

function saysWhenToComeAgain(error: unknown): boolean {
  if (!(error instanceof ConnectError) || error.code !== Code.Unavailable) return false;
  return error.findDetails(RetryInfoSchema)[0]?.retryDelay !== undefined;
}
