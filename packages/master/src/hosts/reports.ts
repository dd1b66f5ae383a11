import { isDeepStrictEqual } from "node:util";
import { AppError } from "@decnet/common/errors/app-error";
import { dateOf } from "@decnet/common/runtime/foreign-time";
import type { DeckyObservation } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { EngineReport, GapReport, RepairReport, ReportItem } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { formatPlan } from "@decnet/engine/plan/plan";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import { fromObservationMessage, fromOutcomeMessage, fromStepMessage } from "@decnet/engine/wire/outcome";
import { operationFacts, stateFact } from "../model/events.ts";
import { hostFact } from "../model/host-events.ts";
import { toPlanRecord } from "../model/operation.ts";
import { In } from "../store/conditions.ts";
import type { Tx } from "../store/database.ts";
import type { OperationStore } from "../store/operations.ts";
import type { Fact } from "../store/outbox.ts";
import { Deckies, type DeckyRow, type HostRow, Hosts, Steps } from "../store/tables.ts";
import { insertRows, updateRows } from "../store/write.ts";

/** The deckies that a batch of reports is about, locked, as they are after what was taken so far. */
interface Reported {
  readonly rows: ReadonlyMap<string, DeckyRow>;
  /** Ids of those that are being changed. */
  readonly open: ReadonlySet<string>;
}

/**
 * Decides about the reports of a host, in their order, inside one transaction; answers what is to be told. A batch that says nothing new costs two
 * queries, however many deckies it is about. Throws DECKY_NOT_ON_HOST.
 */
export function createReportTaker(
  operations: OperationStore,
): (tx: Tx, host: HostRow, items: readonly ReportItem[]) => Promise<Fact[]> {
  const lock = async (tx: Tx, items: readonly ReportItem[]): Promise<Reported> => {
    const names = new Map<string, Set<string>>();
    for (const { item } of items) {
      if (item.case !== "observation" && item.case !== "repair") continue;
      const { scope, name } = parseDeckyRef(item.value.decky);
      names.set(scope, (names.get(scope) ?? new Set()).add(name));
    }
    if (names.size === 0) return { rows: new Map(), open: new Set() };
    const where = [...names].map(([scope, known]) => ({ scope, name: In([...known]) }));
    const rows = await tx.getRepository(Deckies).find({ where, order: { id: "ASC" }, lock: { mode: "pessimistic_write" } });
    return {
      rows: new Map(rows.map((row) => [`${row.scope}/${row.name}`, row])),
      open: await operations.openAmong(
        tx,
        rows.map((row) => row.id),
      ),
    };
  };

  return async (tx, host, items) => {
    const reported = await lock(tx, items);
    const facts: Fact[] = [];
    for (const { item } of items)
      switch (item.case) {
        case "observation":
          facts.push(...(await takeObservation(tx, ownDecky(reported, host, item.value.decky), item.value, reported)));
          break;
        case "repair":
          facts.push(...(await takeRepair(tx, ownDecky(reported, host, item.value.decky), host, item.value, operations)));
          break;
        case "engine":
          facts.push(...(await takeEngine(tx, host, item.value, reported)));
          break;
        case "gap":
          facts.push(...(await takeGap(tx, host, item.value)));
          break;
        case undefined:
          break;
        default:
          item satisfies never;
      }
    return facts;
  };
}

/** The row of a decky that lives on this host. Undefined for one that is nowhere any more. */
function ownDecky({ rows }: Reported, host: HostRow, ref: DeckyObservation["decky"]): DeckyRow | undefined {
  const { scope, name } = parseDeckyRef(ref);
  const row = rows.get(`${scope}/${name}`);
  if (row === undefined || row.leavingHosts.includes(host.name)) return undefined;
  if (row.host !== host.name)
    throw new AppError("DECKY_NOT_ON_HOST", `${name} lives on ${row.host}, not on ${host.name}`, {
      metadata: { decky: name, host: row.host },
    });
  return row;
}

async function takeObservation(tx: Tx, row: DeckyRow | undefined, seen: DeckyObservation, { open }: Reported): Promise<Fact[]> {
  // A change that is under way says itself how it ends; what was seen of an older revision is old.
  if (row === undefined || seen.revision < row.renderedRevision || open.has(row.id)) return [];
  const { state, message, baseId, services } = fromObservationMessage(seen);
  const observed = { baseId, services };
  // An agent that comes back says everything anew, and most of it is as it was.
  if (row.state === state && row.message === message && isDeepStrictEqual(row.observed, observed)) return [];
  const facts = stateFact(row, state, message);
  const patch = { state, message, observed, observedAt: new Date() };
  await updateRows(tx, Deckies, { id: row.id }, patch);
  Object.assign(row, patch);
  return facts;
}

async function takeEngine(tx: Tx, host: HostRow, { problem }: EngineReport, { rows }: Reported): Promise<Fact[]> {
  await updateRows(tx, Hosts, { id: host.id }, { engineProblem: problem });
  if (problem === "") return [];
  const patch = { state: "unknown", message: `the engine of ${host.name} does not answer: ${problem}` } as const;
  const all = await tx.getRepository(Deckies).findBy({ host: host.name });
  const facts = all.flatMap((row) => stateFact(row, patch.state, patch.message));
  await updateRows(tx, Deckies, { host: host.name }, patch);
  for (const row of rows.values()) if (row.host === host.name) Object.assign(row, patch);
  return facts;
}

/** A host that reconnects says nothing of it any more: the fact stays. */
async function takeGap(tx: Tx, host: HostRow, { lost }: GapReport): Promise<Fact[]> {
  const message = `${lost} reports were lost while it was away`;
  await updateRows(tx, Hosts, { id: host.id }, { message });
  return hostFact(host.name, "connected", message);
}

async function takeRepair(
  tx: Tx,
  row: DeckyRow | undefined,
  host: HostRow,
  report: RepairReport,
  operations: OperationStore,
): Promise<Fact[]> {
  if (row === undefined || report.outcome === undefined) return [];
  const outcome = fromOutcomeMessage(report.outcome);
  const startedAt = dateOf(report.startedAt);
  const finishedAt = dateOf(report.finishedAt);
  const operation = operations.make({
    kind: "repair",
    actor: "drift",
    reason: report.cause.slice(0, 4_000),
    deckyId: row.id,
    scope: row.scope,
    deckyName: row.name,
    host: host.name,
    revision: row.desiredRevision,
    onFailure: "keep",
    plan: toPlanRecord(outcome.plan, formatPlan(outcome.plan), row.appliedRevision, []),
    receipt: outcome.receipt,
    state: outcome.failure === undefined ? "succeeded" : "failed",
    error:
      outcome.failure === undefined
        ? null
        : {
            reason: "APPLY_FAILED",
            message: outcome.failure.message,
            next: [],
            outputTail: outcome.failure.outputTail,
            undone: false,
          },
    createdAt: startedAt,
    startedAt,
    finishedAt,
  });
  await operations.insert(tx, operation);
  const steps = report.steps.map(fromStepMessage).flatMap((event) => (event.kind === "started" ? [] : [event]));
  if (steps.length > 0)
    await insertRows(
      tx,
      Steps,
      steps.map((event) => ({
        operationId: operation.id,
        attempt: 1,
        number: event.step.number,
        verb: event.step.kind,
        target: event.step.target,
        cause: event.step.cause,
        service: event.step.slug,
        state: event.kind === "failed" ? "failed" : "succeeded",
        outputTail: event.kind === "failed" ? [event.message, ...event.outputTail] : [],
        startedAt: event.at,
        finishedAt: event.at,
      })),
    );
  return operationFacts(operation, []);
}
