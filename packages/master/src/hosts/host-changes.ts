import { AppError } from "@decnet/common/errors/app-error";
import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { Converger } from "../convergence/converger.ts";
import type { DeckyStore } from "../deckies/decky-store.ts";
import type { EventLog } from "../events/outbox.ts";
import { type DeckyChange, moveTo, storeDeckyChanges } from "../fleet/decky-changes.ts";
import type { MutationOptions } from "../mutations/mutate.ts";
import type { OperationRecord, OperationStore } from "../operations/operation-store.ts";
import type { OperationKind, PlanRecord } from "../operations/types.ts";
import { In } from "../persistence/conditions.ts";
import type { Database, Tx } from "../persistence/database.ts";
import { Deckies, type HostRow, Hosts, type OperationRow, Operations } from "../persistence/tables.ts";
import { updateRows } from "../persistence/write.ts";
import { hostFact } from "./facts.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { HostStore } from "./host-store.ts";
import type { JoinTokenStore } from "./join-tokens.ts";
import { placeDecky } from "./placement.ts";

export interface HostRequest {
  readonly name: string;
  readonly actor: string;
  readonly options: MutationOptions;
  readonly requestHash: string;
}

export interface HostChanges {
  /** No new deckies; the present ones move to other workers. Throws NO_HOST_FITS when there is none. */
  drain(request: HostRequest): Promise<OperationRecord>;
  activate(name: string): Promise<HostRow>;
  /**
   * Removes the host's deckies; with the last of them its certificate ends. Throws HOST_UNREACHABLE for a host that is away, unless forced: then its deckies
   * are forgotten, and its containers stay where they are. Forced once more while it goes on, it ends at once in the same way: who has a copy of the host's
   * key may never finish.
   */
  decommission(request: HostRequest & { readonly force: boolean }): Promise<OperationRecord>;
  /** Ends what decommissioning began, once nothing of the host is left. */
  finishDecommissioning(): Promise<void>;
}

export interface HostChangesOptions {
  readonly database: Database;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly hosts: HostRegistry;
  readonly hostStore: HostStore;
  readonly converger: Converger;
  readonly catalogue: Catalogue;
  readonly joinTokens: Pick<JoinTokenStore, "spend">;
  /** Cuts every connection that the host's certificates opened. */
  readonly disconnect: (hostId: string) => void;
}

export function createHostChanges(options: HostChangesOptions): HostChanges {
  const { database, deckies, operations, events, hosts, hostStore, joinTokens, converger, disconnect } = options;

  const deckiesOf = async (tx: Tx, name: string): Promise<DeckyChange[]> => {
    const rows = await tx.getRepository(Deckies).find({ where: { host: name, leaving: false }, order: { name: "ASC" } });
    const services = await deckies.desiredServices(tx, rows);
    return rows.map((decky) => {
      const present = services.get(decky.id) ?? [];
      return { action: "teardown", decky, before: present, services: present };
    });
  };

  const planOf = (changes: readonly DeckyChange[], what: (change: DeckyChange) => string): PlanRecord => ({
    steps: [],
    untouched: [],
    risks:
      changes.length === 0
        ? []
        : [
            {
              code: "teardown",
              count: changes.length,
              message: `${changes.length} ${changes.length === 1 ? "decky leaves" : "deckies leave"} this host`,
              subjects: changes.map(({ decky }) => decky.name),
            },
          ],
    baseRevision: 0,
    digest: "",
    text: changes.map(what).join("\n") || "nothing to do",
    changes: [],
  });

  const newOperation = (kind: OperationKind, request: HostRequest, plan: PlanRecord): OperationRow =>
    operations.make({
      kind,
      actor: request.actor,
      host: request.name,
      reason: request.options.reason,
      requestId: request.options.requestId === "" ? null : request.options.requestId,
      requestHash: request.requestHash,
      onFailure: request.options.onFailure,
      plan,
    });

  /** One transaction: the host as it is to be, the operation, and a part for each of its deckies. */
  const submit = async (
    kind: OperationKind,
    request: HostRequest,
    prepare: (tx: Tx, host: HostRow) => Promise<{ changes: readonly DeckyChange[]; plan: PlanRecord; patch: Partial<HostRow> }>,
  ): Promise<OperationRecord> => {
    const { requestId, dryRun } = request.options;
    const repeated =
      requestId === "" ? undefined : await database.read((tx) => operations.findByRequest(tx, request.actor, requestId));
    if (repeated !== undefined && repeated.requestHash === request.requestHash) return operations.get(repeated.id);
    if (repeated !== undefined)
      throw new AppError("REQUEST_ID_REUSED", `the request id ${requestId} was used for another request`, {
        metadata: { operation: repeated.id },
      });
    if (dryRun) {
      const { plan } = await database.read(async (tx) => prepare(tx, await hostStore.find(tx, request.name)));
      return { row: { ...newOperation(kind, request, plan), id: "" }, steps: [], children: [] };
    }
    const { parent, children } = await database.transaction(async (tx) => {
      await tx.query("SELECT pg_advisory_xact_lock(7233003)");
      const host = await hostStore.find(tx, request.name);
      const { changes, plan, patch } = await prepare(tx, host);
      await hostStore.update(tx, host.id, patch);
      const isDone = changes.length === 0;
      const made: OperationRow = {
        ...newOperation(kind, request, plan),
        startedAt: new Date(),
        ...(isDone ? { state: "succeeded", finishedAt: new Date() } : { state: "running" }),
      };
      await operations.insert(tx, made);
      return { parent: made, children: await storeDeckyChanges(tx, made, changes, options) };
    });
    for (const child of children) if (child.deckyId !== null) converger.wake(child.deckyId, child.host);
    return { row: parent, steps: [], children: children.map(({ id }) => id) };
  };

  const end = async (host: Pick<HostRow, "id" | "name">, message: string): Promise<void> => {
    await database.transaction(async (tx) => {
      await updateRows(tx, Hosts, { id: host.id }, { decommissionedAt: new Date(), certificateSerials: [], message });
      await tx.query("UPDATE deckies SET previous_host = NULL WHERE previous_host = $1", [host.name]);
      await joinTokens.spend(tx, host.id);
      await events.append(tx, hostFact(host.name, "decommissioned", message));
    });
    events.wake();
    hosts.connected(host.name)?.close();
    disconnect(host.id);
  };

  /** Whatever lived there is forgotten, with what was still to be done about it. */
  const forgetDeckies = async (name: string): Promise<string[]> =>
    database.transaction(async (tx) => {
      const rows = await tx.getRepository(Deckies).findBy({ host: name });
      if (rows.length === 0) return [];
      const ids = rows.map(({ id }) => id);
      const open = await tx.getRepository(Operations).findBy({ deckyId: In(ids), state: In(["pending", "running"]) });
      for (const operation of open) await operations.update(tx, operation.id, { state: "cancelled", finishedAt: new Date() });
      await tx.getRepository(Deckies).delete({ id: In(ids) });
      return open.map(({ id }) => id);
    });

  /** Ids of hosts that may be leaving; undefined until the database was asked once. */
  let leaving: Set<string> | undefined;

  /** Hosts that are being decommissioned, also since before this master started. Activating one stops it, and so does a failed part. */
  const leavingHosts = async (): Promise<{ id: string; name: string; left: number }[]> => {
    if (leaving?.size === 0) return [];
    const asked = leaving === undefined ? null : [...leaving];
    const rows: { id: string; name: string; left: string }[] = await database.read((tx) =>
      tx.query(
        `SELECT id, name, (SELECT count(*) FROM deckies WHERE host = hosts.name) AS left FROM hosts
         WHERE decommissioned_at IS NULL AND draining AND ($1::uuid[] IS NULL OR id = ANY($1)) AND EXISTS (SELECT FROM operations WHERE host = hosts.name
           AND kind = 'decommission_host' AND state IN ('running', 'succeeded') AND created_at > hosts.enrolled_at)`,
        [asked],
      ),
    );
    leaving = new Set([...(leaving ?? []), ...rows.map(({ id }) => id)]);
    for (const id of asked ?? []) if (!rows.some((row) => row.id === id)) leaving.delete(id);
    return rows.map((row) => ({ ...row, left: Number(row.left) }));
  };

  const finishDecommissioning = async (): Promise<void> => {
    for (const { id, name, left } of await leavingHosts()) if (left === 0) await end({ id, name }, "decommissioned");
  };

  return {
    drain: (request) =>
      submit("drain_host", request, async (tx, host) => {
        const others = (await hostStore.list(tx))
          .filter((other) => other.id !== host.id)
          .map((other) => ({ ...other, isReachable: hosts.isReachable(other.name) }));
        const load = await loadOf(tx);
        const changes = (await deckiesOf(tx, host.name)).map((change): DeckyChange => {
          const target = placeDecky({ kind: "balanced" }, undefined, others, load);
          load.set(target, (load.get(target) ?? 0) + 1);
          return { ...change, action: "move", decky: moveTo(change.decky, target) };
        });
        return {
          changes,
          plan: planOf(changes, ({ decky }) => `move ${decky.name} from ${host.name} to ${decky.host}`),
          patch: { draining: true },
        };
      }),
    async activate(name) {
      return database.transaction(async (tx) => {
        const host = await hostStore.find(tx, name);
        await hostStore.update(tx, host.id, { draining: false, message: "" });
        return { ...host, draining: false, message: "" };
      });
    },
    async decommission(request) {
      const host = await database.read((tx) => hostStore.find(tx, request.name));
      const isStuck = request.force && (await leavingHosts()).some(({ id }) => id === host.id);
      const isAway = isStuck || !hosts.isReachable(host.name);
      if (isAway && !request.force) hosts.link(host.name);
      const record = await submit("decommission_host", request, async (tx, row) => {
        const changes = await deckiesOf(tx, row.name);
        const plan = planOf(changes, ({ decky }) => `${isAway ? "forget" : "teardown"} ${decky.name}`);
        return { changes: isAway ? [] : changes, plan, patch: { draining: true, message: "is being decommissioned" } };
      });
      if (request.options.dryRun) return record;
      if (isAway) operations.wake(await forgetDeckies(host.name));
      leaving?.add(host.id);
      if (isAway) await end(host, isStuck ? "forgotten before its deckies were gone" : "forgotten while it was away");
      else await finishDecommissioning();
      return record;
    },
    finishDecommissioning,
  };

  async function loadOf(tx: Tx): Promise<Map<string, number>> {
    const rows: { host: string; count: string }[] = await tx.query("SELECT host, count(*) AS count FROM deckies GROUP BY host");
    return new Map(rows.map((row) => [row.host, Number(row.count)]));
  }
}
