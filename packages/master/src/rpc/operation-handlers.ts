import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import {
  OperationSchema,
  type OperationService,
  OperationStepSchema,
  WatchOperationResponseSchema,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { StoredService } from "../model/decky.ts";
import { operationFacts, stateFact } from "../model/events.ts";
import { revertService, sameServices } from "../model/services.ts";
import type { Tx } from "../store/database.ts";
import { type FilterConditions, listRows } from "../store/list-rows.ts";
import { hasEnded, type WaitedFor } from "../store/operations.ts";
import { endParents } from "../store/parents.ts";
import { Deckies, type DeckyRow, type OperationRow, Operations } from "../store/tables.ts";
import { updateRows } from "../store/write.ts";
import { waitingFor, waitsForHost } from "./await-operation.ts";
import { toOperationMessage, toStepMessage } from "./messages.ts";
import type { MasterParts } from "./parts.ts";
import { parseFilter, parseId, parsePage } from "./requests.ts";

const filterConditions: FilterConditions = {
  decky: (comparison) => `operation.deckyName ${comparison}`,
  service: (comparison) => `operation.service ${comparison}`,
  state: (comparison) => `operation.state ${comparison}`,
  kind: (comparison) => `operation.kind ${comparison}`,
  actor: (comparison) => `operation.actor ${comparison}`,
  host: (comparison) => `operation.host ${comparison}`,
  parent: (comparison) => `coalesce(operation.parent, '') ${comparison}`,
};

/** A move that had not begun: the decky is where it was, and has nothing to leave there. */
function stay(decky: DeckyRow, { kind }: OperationRow): Partial<DeckyRow> {
  if (kind !== "move_decky" || decky.lastHost === null) return {};
  return { host: decky.lastHost, leavingHosts: decky.leavingHosts.filter((host) => host !== decky.lastHost) };
}

export function createOperationHandlers({
  database,
  operations,
  deckies,
  events,
  converger,
  hosts,
  stopping,
}: MasterParts): ServiceImpl<typeof OperationService> {
  const waits = (id: string, row: WaitedFor) => waitingFor(id, row, { operations, hosts, converger });
  return {
    async listOperations(request) {
      const terms = parseFilter(request.filter, filterConditions);
      const page = parsePage(request, 50);
      const { rows, counts, next } = await database.read((tx) =>
        listRows(
          tx
            .getRepository(Operations)
            .createQueryBuilder("operation")
            .orderBy({ "operation.createdAt": "DESC", "operation.id": "ASC" }),
          { terms, conditions: filterConditions, page, countBy: "operation.state" },
        ),
      );
      return {
        operations: rows.map((row) =>
          toOperationMessage({ row, steps: [], children: [] }, waitsForHost(row, { hosts, converger })),
        ),
        counts,
        nextPageToken: next === undefined ? "" : String(next),
      };
    },
    async getOperation({ id }) {
      const record = await operations.get(parseId(id));
      return { operation: toOperationMessage(record, await waits(id, record.row)) };
    },
    async *watchOperation({ id }, context) {
      const sent = new Map<string, string>();
      let state = "";
      for await (const record of operations.watch(parseId(id), AbortSignal.any([context.signal, stopping]))) {
        for (const step of record.steps) {
          const key = `${step.attempt}/${step.number}`;
          if (sent.get(key) === step.state) continue;
          sent.set(key, step.state);
          yield create(WatchOperationResponseSchema, {
            item: { case: "step", value: create(OperationStepSchema, toStepMessage(step)) },
          });
        }
        const waiting = await waits(id, record.row);
        if (`${record.row.state} ${waiting}` === state) continue;
        state = `${record.row.state} ${waiting}`;
        yield create(WatchOperationResponseSchema, {
          item: { case: "operation", value: create(OperationSchema, toOperationMessage(record, waiting)) },
        });
      }
    },
    async cancelOperation({ id }) {
      const { row } = await operations.get(parseId(id));
      if (hasEnded(row))
        throw new AppError("OPERATION_ENDED", `the operation has ended: ${row.state}`, { metadata: { operation: id } });
      const targets = row.deckyId === null ? (await operations.get(id)).children : [id];
      for (const target of targets) await cancelOne(target);
      const record = await operations.get(id);
      return { operation: toOperationMessage(record, await waits(id, record.row)) };
    },
  };

  /**
   * One that has not begun ends here, and what it stored is taken back: no host has heard of it. One that runs is interrupted, and its run undoes it; while
   * its host is away that waits for the host.
   */
  async function cancelOne(id: string): Promise<void> {
    const { row } = await operations.get(id);
    if (row.deckyId === null || hasEnded(row)) return;
    const deckyId = row.deckyId;
    let isRunning = false;
    const ended = await database.transaction(async (tx) => {
      const decky = await deckies.lockById(tx, deckyId);
      const open = await operations.openOf(tx, deckyId);
      const now = open.find((operation) => operation.id === id);
      if (decky === undefined || now === undefined) return undefined;
      await operations.update(tx, id, { cancelRequested: true });
      isRunning = now.state !== "pending";
      if (isRunning) return [];
      const isFirst = now.kind === "deploy_decky" && decky.desiredRevision === now.revision;
      // A later change may build on what is not one service's alone.
      if (!isFirst && (decky.appliedRevision === 0 || (now.service === "" && now.revision !== decky.desiredRevision))) return [];
      await operations.update(tx, id, { state: "cancelled", finishedAt: new Date() });
      if (isFirst) {
        await tx.getRepository(Deckies).delete({ id: deckyId });
        await events.append(tx, [
          ...operationFacts({ ...now, state: "cancelled" }, []),
          ...stateFact(decky, "gone", "cancelled"),
        ]);
      } else {
        const services = await servicesWithout(tx, decky, now);
        await takeBack(tx, decky, now, services, open.length === 1);
        await events.append(tx, operationFacts({ ...now, state: "cancelled" }, services));
      }
      return [id, ...(await endParents(tx, [id]))];
    });
    if (ended === undefined) return;
    if (isRunning) converger.interrupt(deckyId);
    converger.wake(deckyId, row.host);
    operations.wake([id, ...ended]);
    // Nothing will run that says how the decky is: its host does.
    hosts.wantResync(row.host);
    events.wake();
  }

  /** What is wanted without what this operation asked for. */
  async function servicesWithout(tx: Tx, decky: DeckyRow, operation: OperationRow): Promise<StoredService[]> {
    const before = await deckies.services(tx, decky, operation.revision - 1);
    if (operation.revision === decky.desiredRevision) return [...before];
    const own = await deckies.services(tx, decky, operation.revision);
    return revertService(await deckies.services(tx, decky, decky.desiredRevision), own, before, operation.service);
  }

  async function takeBack(
    tx: Tx,
    decky: DeckyRow,
    operation: OperationRow,
    services: readonly StoredService[],
    isLast: boolean,
  ): Promise<void> {
    const number = decky.desiredRevision + 1;
    const reason = `cancel of ${operation.id}`;
    await deckies.addRevision(tx, { decky, number, services, actor: operation.actor, reason, operationId: operation.id });
    // Back at what is real already: nothing is left to be done for the new revision.
    const movedFrom = operation.kind === "move_decky" ? decky.lastHost : null;
    const isReal =
      isLast && movedFrom === null && sameServices(services, await deckies.services(tx, decky, decky.appliedRevision));
    const patch = {
      desiredRevision: number,
      leaving: false,
      ...stay(decky, operation),
      ...(isReal ? { appliedRevision: number } : {}),
    };
    await updateRows(tx, Deckies, { id: decky.id }, patch);
    // Nothing changed there: the look at it says so.
    if (movedFrom !== null)
      await operations.insert(
        tx,
        operations.make({
          kind: "repair",
          actor: operation.actor,
          reason,
          deckyId: decky.id,
          scope: decky.scope,
          deckyName: decky.name,
          host: movedFrom,
          revision: number,
        }),
      );
  }
}
