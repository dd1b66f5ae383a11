import { AppError } from "@decnet/common/errors/app-error";
import type { Catalogue } from "@decnet/engine/catalogue/types";
import { digestOf } from "@decnet/engine/plan/plan";
import type { Converger } from "../convergence/converger.ts";
import { placeDecky } from "../decide/placement.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { stateFact } from "../model/events.ts";
import { hostFact } from "../model/host-events.ts";
import type { OperationKind, PlanRecord } from "../model/operation.ts";
import { ArrayContains, In, IsNull } from "../store/conditions.ts";
import type { Database, Tx } from "../store/database.ts";
import type { DeckyStore } from "../store/deckies.ts";
import type { HostStore } from "../store/hosts.ts";
import type { JoinTokenStore } from "../store/join-tokens.ts";
import type { OperationRecord, OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";
import { endParents } from "../store/parents.ts";
import { Deckies, type DeckyRow, type HostRow, Hosts, type OperationRow, Operations } from "../store/tables.ts";
import { updateRows } from "../store/write.ts";
import { type Action, type DeckyChange, moveTo, storeDeckyChanges } from "./decky-changes.ts";
import type { MutationOptions } from "./mutate.ts";

export interface HostRequest {
  readonly name: string;
  readonly actor: string;
  readonly options: MutationOptions;
  readonly requestHash: string;
}

interface HostChange {
  /** Throws what refuses the change. */
  prepare(
    tx: Tx,
    host: HostRow,
  ): Promise<{
    readonly changes: readonly DeckyChange[];
    readonly plan: PlanRecord;
    readonly patch: Partial<HostRow>;
    /** More is to be done than the changes. */
    readonly goesOn?: boolean;
  }>;
  /** Goes into the same transaction; answers operations that ended by it. */
  finish?(tx: Tx, host: HostRow): Promise<string[]>;
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
  /** Ends what decommissioning began, in this life of the master or an earlier one, once nothing of the host is left. */
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
  readonly stopping: AbortSignal;
}

export function createHostChanges(options: HostChangesOptions): HostChanges {
  const { database, deckies, operations, events, hosts, hostStore, joinTokens, converger, disconnect, stopping } = options;

  const deckiesOf = async (tx: Tx, name: string): Promise<DeckyChange[]> => {
    const rows = await tx.getRepository(Deckies).find({ where: { host: name, leaving: false }, order: { name: "ASC" } });
    const services = await deckies.desiredServices(tx, rows);
    return rows.map((decky) => {
      const present = services.get(decky.id) ?? [];
      return { action: "teardown", decky, before: present, services: present };
    });
  };

  const newOperation = (kind: OperationKind, request: HostRequest, plan: PlanRecord): OperationRow =>
    operations.make({
      kind,
      actor: request.actor,
      host: request.name,
      reason: request.options.reason,
      requestId: request.options.requestId === "" ? null : request.options.requestId,
      requestHash: request.requestHash,
      onFailure: request.options.onFailure,
      whenAway: request.options.whenAway,
      plan,
    });

  const findRepeated = async (tx: Tx, request: HostRequest): Promise<OperationRow | undefined> => {
    const { requestId } = request.options;
    const earlier = requestId === "" ? undefined : await operations.findByRequest(tx, request.actor, requestId);
    if (earlier !== undefined && earlier.requestHash !== request.requestHash)
      throw new AppError("REQUEST_ID_REUSED", `the request id ${requestId} was used for another request`, {
        metadata: { operation: earlier.id },
      });
    return earlier;
  };

  /** One transaction: the host as it is to be, the operation, a part for each of its deckies, and what else belongs to it. */
  const submit = async (kind: OperationKind, request: HostRequest, change: HostChange): Promise<OperationRecord> => {
    const repeated = await database.read((tx) => findRepeated(tx, request));
    if (repeated !== undefined) return operations.get(repeated.id);
    const prepare = async (tx: Tx) => {
      const host = await hostStore.find(tx, request.name);
      const prepared = await change.prepare(tx, host);
      refuseOtherPlan(request, prepared.plan.digest);
      return { host, ...prepared };
    };
    if (request.options.dryRun) {
      const { plan } = await database.read(prepare);
      return { row: { ...newOperation(kind, request, plan), id: "" }, steps: [], children: [] };
    }
    const done = await database.transaction(async (tx) => {
      await tx.query("SELECT pg_advisory_xact_lock(7233003)");
      const again = await findRepeated(tx, request);
      if (again !== undefined) return { row: again, children: [], ended: [] };
      const { name } = await hostStore.find(tx, request.name);
      await tx.query("SELECT id FROM deckies WHERE host = $1 ORDER BY id FOR NO KEY UPDATE", [name]);
      const { host, changes, plan, patch, goesOn = false } = await prepare(tx);
      await hostStore.update(tx, host.id, patch);
      const isDone = changes.length === 0 && !goesOn;
      const row: OperationRow = {
        ...newOperation(kind, request, plan),
        startedAt: new Date(),
        ...(isDone ? { state: "succeeded", finishedAt: new Date() } : { state: "running" }),
      };
      await operations.insert(tx, row);
      const children = await storeDeckyChanges(tx, row, changes, options);
      await events.append(
        tx,
        changes.flatMap(({ decky }) => stateFact(decky, "changing", "")),
      );
      return { row, children, ended: (await change.finish?.(tx, host)) ?? [] };
    });
    events.wake();
    operations.wake(done.ended);
    for (const child of done.children) if (child.deckyId !== null) converger.wake(child.deckyId, child.host);
    return { row: done.row, steps: [], children: done.children.map(({ id }) => id) };
  };

  /** In a transaction: the host is none any more. What was to leave it still has left it. */
  const end = async (tx: Tx, host: HostRow, message: string): Promise<void> => {
    await updateRows(
      tx,
      Hosts,
      { id: host.id },
      { decommissionedAt: new Date(), decommissioning: false, certificateSerials: [], message },
    );
    await tx.query("UPDATE deckies SET leaving_hosts = array_remove(leaving_hosts, $1) WHERE $1 = ANY (leaving_hosts)", [
      host.name,
    ]);
    await tx.query("UPDATE deckies SET last_host = NULL WHERE last_host = $1", [host.name]);
    await joinTokens.spend(tx, host.id);
    await events.append(tx, hostFact(host.name, "decommissioned", message));
  };

  const hangUp = (host: HostRow): void => {
    events.wake();
    hosts.connected(host.name)?.close();
    disconnect(host.id);
  };

  /** Whatever lived there is forgotten, with what was still to be done about it. Answers the operations that ended with it. */
  const forgetDeckies = async (tx: Tx, name: string): Promise<string[]> => {
    const rows = await tx.getRepository(Deckies).findBy({ host: name });
    const ids = rows.map(({ id }) => id);
    const open = await tx.getRepository(Operations).findBy({ deckyId: In(ids), state: In(["pending", "running"]) });
    const error = {
      reason: "HOST_UNREACHABLE",
      message: `host ${name} was decommissioned while it was away`,
      next: [],
      outputTail: [],
      undone: false,
    } as const;
    for (const { id } of open) await operations.update(tx, id, { state: "failed", error, finishedAt: new Date() });
    const parents = await endParents(
      tx,
      open.map(({ id }) => id),
    );
    await events.append(
      tx,
      rows.flatMap((row) => stateFact(row, "gone", `forgotten with host ${name}`)),
    );
    await tx.getRepository(Deckies).delete({ id: In(ids) });
    return [...open.map(({ id }) => id), ...parents];
  };

  /** Deckies that live on a host, and those that have moved away and may still have something there. */
  const countLeft = (tx: Tx, name: string) =>
    tx.getRepository(Deckies).countBy([{ host: name }, { leavingHosts: ArrayContains([name]) }]);

  /** Ends host and operation together when nothing of the host is left; gives up when deckies stay that nobody is removing any more. */
  const finishOne = async ({ id }: Pick<HostRow, "id">): Promise<void> => {
    const done = await database.transaction(async (tx) => {
      const host = await tx.getRepository(Hosts).findOne({ where: { id }, lock: { mode: "pessimistic_write" } });
      if (host === null || !host.decommissioning || host.decommissionedAt !== null) return undefined;
      const open = { host: host.name, kind: "decommission_host", state: In(["pending", "running"]) } as const;
      const running = await tx.getRepository(Operations).find({ where: open, select: { id: true } });
      const ids = running.map((operation) => operation.id);
      if ((await countLeft(tx, host.name)) === 0) {
        await end(tx, host, "decommissioned");
        for (const id of ids) await operations.update(tx, id, { state: "succeeded", finishedAt: new Date() });
        return { gone: host, ids };
      }
      const isWorkedAt = (await tx.getRepository(Operations).countBy({ parent: In(ids), state: open.state })) > 0;
      const stays = await tx.getRepository(Deckies).countBy({ host: host.name, leaving: false });
      if (isWorkedAt || stays === 0) return undefined;
      const message = `decommissioning failed: ${stays} ${stays === 1 ? "decky is" : "deckies are"} still here`;
      await hostStore.update(tx, host.id, { decommissioning: false, message });
      const error = { reason: "APPLY_FAILED", message, next: [], outputTail: [], undone: false } as const;
      for (const id of ids) await operations.update(tx, id, { state: "failed", error, finishedAt: new Date() });
      return { gone: undefined, ids };
    });
    if (done?.gone !== undefined) hangUp(done.gone);
    operations.wake(done?.ids ?? []);
  };

  /** As soon as its parts have ended; a failure here is made good by whoever looks for hosts that are being decommissioned. */
  const finishAfter = async (host: Pick<HostRow, "id">, parts: readonly string[]): Promise<void> => {
    for (const id of parts) await operations.waitForEnd(id, stopping);
    await finishOne(host);
  };

  return {
    drain: (request) =>
      submit("drain_host", request, {
        async prepare(tx, host) {
          if (request.options.whenAway === "refuse") hosts.link(host.name);
          const others = (await hostStore.list(tx))
            .filter((other) => other.id !== host.id)
            .map((other) => ({ ...other, isReachable: hosts.isReachable(other.name) }));
          const load = await loadOf(tx);
          const changes = (await deckiesOf(tx, host.name)).map((change): DeckyChange => {
            const target = placeDecky({ kind: "balanced" }, undefined, others, load);
            load.set(target, (load.get(target) ?? 0) + 1);
            return { ...change, action: "move", decky: moveTo(change.decky, target) };
          });
          const plan = planOf(changes, "move", ({ decky }) => `move ${decky.name} from ${host.name} to ${decky.host}`);
          return { changes, plan, patch: { draining: true } };
        },
      }),
    async activate(name) {
      return database.transaction(async (tx) => {
        const host = await hostStore.find(tx, name);
        if (host.decommissioning)
          throw new AppError("HOST_DRAINING", `host ${name} is being decommissioned`, { metadata: { host: name } });
        await hostStore.update(tx, host.id, { draining: false, message: "" });
        return { ...host, draining: false, message: "" };
      });
    },
    async decommission(request) {
      const isAway = !hosts.isReachable(request.name);
      const isForgotten = (host: HostRow) => isAway || (request.force && host.decommissioning);
      let gone: HostRow | undefined;
      let going: HostRow | undefined;
      let waiting: readonly DeckyRow[] = [];
      const record = await submit("decommission_host", request, {
        async prepare(tx, host) {
          if (isAway && !request.force) hosts.link(host.name);
          const changes = await deckiesOf(tx, host.name);
          const verb = isForgotten(host) ? "forget" : "teardown";
          const plan = planOf(changes, "teardown", ({ decky }) => `${verb} ${decky.name}`);
          const patch = { draining: true, decommissioning: true, message: "is being decommissioned" };
          const goesOn = !isForgotten(host) && (await countLeft(tx, host.name)) > 0;
          return { changes: isForgotten(host) ? [] : changes, plan, patch, goesOn };
        },
        async finish(tx, host) {
          if (!isForgotten(host)) {
            if ((await countLeft(tx, host.name)) > 0) going = host;
            else {
              await end(tx, host, "decommissioned");
              gone = host;
            }
            return [];
          }
          const ended = await forgetDeckies(tx, host.name);
          waiting = await tx.getRepository(Deckies).findBy({ leavingHosts: ArrayContains([host.name]) });
          await end(tx, host, isAway ? "forgotten while it was away" : "forgotten before its deckies were gone");
          gone = host;
          return ended;
        },
      });
      if (gone !== undefined) hangUp(gone);
      if (going !== undefined) void finishAfter(going, record.children).catch(() => undefined);
      // What waited for it to be left goes on.
      for (const row of waiting) converger.wake(row.id, row.host);
      return record;
    },
    async finishDecommissioning() {
      const rows = await database.read((tx) =>
        tx.getRepository(Hosts).findBy({ decommissioning: true, decommissionedAt: IsNull() }),
      );
      for (const host of rows) await finishOne(host);
    },
  };

  async function loadOf(tx: Tx): Promise<Map<string, number>> {
    const rows: { host: string; count: string }[] = await tx.query("SELECT host, count(*) AS count FROM deckies GROUP BY host");
    return new Map(rows.map((row) => [row.host, Number(row.count)]));
  }
}

function refuseOtherPlan({ name, options }: HostRequest, actual: string): void {
  if (options.expectedPlan !== "" && options.expectedPlan !== actual)
    throw new AppError("PLAN_CHANGED", `the plan for host ${name} is another one now`, {
      metadata: { host: name, expected: options.expectedPlan, actual },
    });
}

/** What each decky's containers will see is planned by the hosts when it comes to that. */
function planOf(changes: readonly DeckyChange[], action: Action, what: (change: DeckyChange) => string): PlanRecord {
  const noSteps = { steps: [], untouched: [], risks: [], digest: "", changes: [] };
  const parts = changes.map((change) => {
    const { name, host, desiredRevision } = change.decky;
    return { name, host, action, plan: { ...noSteps, baseRevision: desiredRevision, text: what(change) } };
  });
  return {
    ...noSteps,
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
    digest: digestOf(parts.map((part) => [part.name, part.host, part.action, part.plan.baseRevision])),
    text: parts.map((part) => part.plan.text).join("\n") || "nothing to do",
    deckies: parts,
  };
}
