import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import {
  OperationSchema,
  type OperationService,
  OperationStepSchema,
  WatchOperationResponseSchema,
} from "@decnet/common/gen/decnet/v1/operation_pb";
import { operationFacts } from "../convergence/facts.ts";
import { hasEnded, type WaitedFor } from "../operations/operation-store.ts";
import { type FilterConditions, listRows } from "../persistence/list-rows.ts";
import { Deckies, type DeckyRow, type OperationRow, Operations } from "../persistence/tables.ts";
import { updateRows } from "../persistence/write.ts";
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
      return { operation: toOperationMessage(await operations.get(id)) };
    },
  };

  /** One that has not begun ends here, and what it stored is taken back; one that runs is interrupted, and its run undoes it. */
  async function cancelOne(id: string): Promise<void> {
    const { row } = await operations.get(id);
    if (row.deckyId === null || hasEnded(row)) return;
    const deckyId = row.deckyId;
    const isNewest = await database.transaction(async (tx) => {
      const decky = await deckies.lockById(tx, deckyId);
      const now = (await operations.openOf(tx, deckyId)).find((operation) => operation.id === id);
      if (decky === undefined || now === undefined) return false;
      await operations.update(tx, id, { cancelRequested: true });
      if (now.state !== "pending" || now.revision !== decky.desiredRevision || decky.appliedRevision === 0) return true;
      const before = await deckies.services(tx, decky, decky.desiredRevision - 1);
      const number = decky.desiredRevision + 1;
      await deckies.addRevision(tx, {
        decky,
        number,
        services: before,
        actor: now.actor,
        reason: `cancel of ${id}`,
        operationId: id,
      });
      await updateRows(tx, Deckies, { id: deckyId }, { desiredRevision: number, leaving: false, ...stay(decky, now) });
      await operations.update(tx, id, { state: "cancelled", finishedAt: new Date() });
      // Nothing changed there: the look at it says so.
      if (now.kind === "move_decky" && decky.lastHost !== null)
        await operations.insert(
          tx,
          operations.make({
            kind: "repair",
            actor: now.actor,
            reason: `cancel of ${id}`,
            deckyId,
            scope: decky.scope,
            deckyName: decky.name,
            host: decky.lastHost,
            revision: number,
          }),
        );
      await events.append(tx, operationFacts({ ...now, state: "cancelled" }, before));
      return true;
    });
    if (!isNewest) return;
    converger.interrupt(deckyId);
    converger.wake(deckyId, row.host);
    operations.wake([id]);
    events.wake();
  }
}
