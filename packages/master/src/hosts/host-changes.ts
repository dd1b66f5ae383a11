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
   * are forgotten, and its containers stay where they are.
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
  /** Cuts every connection that the host's certificates opened. */
  readonly disconnect: (hostId: string) => void;
}

export function createHostChanges(options: HostChangesOptions): HostChanges {
  const { database, deckies, operations, events, hosts, hostStore, converger, disconnect } = options;

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

  const end = async (host: HostRow, message: string): Promise<void> => {
    await database.transaction(async (tx) => {
      await updateRows(tx, Hosts, { id: host.id }, { decommissionedAt: new Date(), certificateSerials: [], message });
      await tx.query("UPDATE deckies SET previous_host = NULL WHERE previous_host = $1", [host.name]);
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

  const leaving = new Set<string>();
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
      const isAway = !hosts.isReachable(host.name);
      if (isAway && !request.force) hosts.link(host.name);
      const record = await submit("decommission_host", request, async (tx, row) => {
        const changes = await deckiesOf(tx, row.name);
        const plan = planOf(changes, ({ decky }) => `${isAway ? "forget" : "teardown"} ${decky.name}`);
        return { changes: isAway ? [] : changes, plan, patch: { draining: true, message: "is being decommissioned" } };
      });
      if (request.options.dryRun) return record;
      if (isAway) operations.wake(await forgetDeckies(host.name));
      if (isAway || record.children.length === 0) await end(host, isAway ? "forgotten while it was away" : "decommissioned");
      else leaving.add(host.name);
      return record;
    },
    async finishDecommissioning() {
      for (const name of leaving) {
        const { host, left, failed } = await database.read(async (tx) => ({
          host: await tx.getRepository(Hosts).findOne({ where: { name }, order: { enrolledAt: "DESC" } }),
          left: await tx.getRepository(Deckies).countBy({ host: name }),
          failed: await tx.getRepository(Operations).countBy({ host: name, kind: "decommission_host", state: "running" }),
        }));
        if (host === null || host.decommissionedAt !== null) leaving.delete(name);
        else if (left === 0) {
          await end(host, "decommissioned");
          leaving.delete(name);
        } else if (failed === 0) leaving.delete(name);
      }
    },
  };

  async function loadOf(tx: Tx): Promise<Map<string, number>> {
    const rows: { host: string; count: string }[] = await tx.query("SELECT host, count(*) AS count FROM deckies GROUP BY host");
    return new Map(rows.map((row) => [row.host, Number(row.count)]));
  }
}
