import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import type { DeckyObservation } from "@decnet/common/gen/decnet/v1/agent_pb";
import {
  AgentFactsSchema,
  type RegisterRequest,
  type RepairReport,
  type ReportItem,
  type ReportRequest,
} from "@decnet/common/gen/decnet/v1/enrollment_pb";
import type { Logger } from "@decnet/common/logging/logger";
import { dateOf } from "@decnet/common/runtime/foreign-time";
import { formatPlan } from "@decnet/engine/plan/plan";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import { fromObservationMessage, fromOutcomeMessage, fromStepMessage } from "@decnet/engine/wire/outcome";
import { operationFacts, stateFact } from "../convergence/facts.ts";
import type { EventLog, Fact } from "../events/outbox.ts";
import type { OperationStore } from "../operations/operation-store.ts";
import { toPlanRecord } from "../operations/types.ts";
import { ArrayContains } from "../persistence/conditions.ts";
import type { Database, Tx } from "../persistence/database.ts";
import { Deckies, type DeckyRow, Fleets, type HostRow, Hosts, Steps } from "../persistence/tables.ts";
import { insertRows, updateRows } from "../persistence/write.ts";
import { admit } from "./admission.ts";
import { hostFact } from "./facts.ts";
import type { HostRegistry } from "./host-registry.ts";

export interface RegistrationOptions {
  readonly database: Database;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly registry: HostRegistry;
  readonly log: Logger;
  readonly catalogueDigest: string;
  readonly version: string;
}

export interface Registration {
  /** Refuses a second agent while the first one answers, and what does not fit this master. */
  register(
    host: HostRow,
    request: RegisterRequest,
    address: string,
  ): Promise<{ acknowledged: bigint; remove: { scope: string; name: string }[]; driftPolicy: "repair" | "report" }>;
  /** Takes reports in order, once each. Throws DECKY_NOT_ON_HOST for a report about a decky that is another host's; nothing of it is stored then. */
  report(
    host: HostRow,
    request: ReportRequest,
  ): Promise<{ acknowledged: bigint; fullResync: boolean; driftPolicy: "repair" | "report" }>;
}

/** The database counts no further. */
const lastSequence = 2n ** 62n;

/** What is told of the fleet's policy may be so old. */
const policyMs = 1_000;

export function createRegistration(options: RegistrationOptions): Registration {
  const { database, operations, events, registry, log } = options;
  const instances = new Map<string, string>();

  const policyOf = async (tx: Tx) => (await tx.getRepository(Fleets).findOneBy({ id: 1 }))?.driftPolicy ?? "repair";

  let looked: { readonly at: number; readonly policy: ReturnType<typeof policyOf> } | undefined;
  /** Heartbeats of all hosts share one look at the fleet. */
  const recentPolicy = (): ReturnType<typeof policyOf> => {
    if (looked !== undefined && performance.now() - looked.at < policyMs) return looked.policy;
    const mine = { at: performance.now(), policy: database.read(policyOf) };
    looked = mine;
    mine.policy.catch(() => {
      if (looked === mine) looked = undefined;
    });
    return mine.policy;
  };

  const refuseSecondAgent = async (host: HostRow, instanceId: string, address: string): Promise<void> => {
    const present = registry.connected(host.name);
    if (present === undefined || instances.get(host.id) === instanceId) return;
    if (!(await present.answers())) return present.close();
    const message = `a second agent with the identity of ${host.name} called from ${address}; the one from ${present.address} goes on`;
    log.warn("a second agent with one identity", { host: host.name, address, connectedFrom: present.address });
    await database.read((tx) => updateRows(tx, Hosts, { id: host.id }, { message }));
    throw new AppError("HOST_ALREADY_CONNECTED", message, { metadata: { host: host.name } });
  };

  /** Decides about one item, inside the transaction of its report. */
  const take = async (tx: Tx, host: HostRow, item: ReportItem): Promise<Fact[]> => {
    switch (item.item.case) {
      case "observation":
        return takeObservation(tx, host, item.item.value);
      case "repair":
        return takeRepair(tx, host, item.item.value);
      case "engine": {
        const { problem } = item.item.value;
        await updateRows(tx, Hosts, { id: host.id }, { engineProblem: problem });
        return problem === "" ? [] : markUnknown(tx, host.name, `the engine of ${host.name} does not answer: ${problem}`);
      }
      case "gap": {
        // A host that reconnects says nothing of it any more: the fact stays.
        const message = `${item.item.value.lost} reports were lost while it was away`;
        await updateRows(tx, Hosts, { id: host.id }, { message });
        return hostFact(host.name, "connected", message);
      }
      case undefined:
        return [];
      default:
        return item.item satisfies never;
    }
  };

  /** The row of a decky that lives on this host. Undefined for one that is nowhere any more. */
  const ownDecky = async (tx: Tx, host: HostRow, ref: DeckyObservation["decky"]): Promise<DeckyRow | undefined> => {
    const { scope, name } = parseDeckyRef(ref);
    const row = await tx.getRepository(Deckies).findOne({ where: { scope, name }, lock: { mode: "pessimistic_write" } });
    if (row === null || row.leavingHosts.includes(host.name)) return undefined;
    if (row.host !== host.name)
      throw new AppError("DECKY_NOT_ON_HOST", `${name} lives on ${row.host}, not on ${host.name}`, {
        metadata: { decky: name, host: row.host },
      });
    return row;
  };

  const takeObservation = async (tx: Tx, host: HostRow, seen: DeckyObservation): Promise<Fact[]> => {
    const row = await ownDecky(tx, host, seen.decky);
    // A change that is under way says itself how it ends; what was seen of an older revision is old.
    if (row === undefined || seen.revision < row.renderedRevision || (await operations.openOf(tx, row.id)).length > 0) return [];
    const judged = fromObservationMessage(seen);
    await updateRows(
      tx,
      Deckies,
      { id: row.id },
      {
        state: judged.state,
        message: judged.message,
        observed: { baseId: judged.baseId, services: judged.services },
        observedAt: new Date(),
      },
    );
    return stateFact(row, judged.state, judged.message);
  };

  const takeRepair = async (tx: Tx, host: HostRow, report: RepairReport): Promise<Fact[]> => {
    const row = await ownDecky(tx, host, report.decky);
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
  };

  const markUnknown = async (tx: Tx, host: string, message: string): Promise<Fact[]> => {
    const rows = await tx.getRepository(Deckies).findBy({ host });
    const facts = rows.flatMap((row) => stateFact(row, "unknown", message));
    await updateRows(tx, Deckies, { host }, { state: "unknown", message });
    return facts;
  };

  return {
    async register(host, request, address) {
      if (!/^[\w-]{1,64}$/.test(request.reportStream))
        throw new AppError("REQUEST_INVALID", "report_stream: is letters, digits, - and _, at most 64");
      admit(request.facts, { catalogueDigest: options.catalogueDigest, version: options.version, now: new Date() });
      await refuseSecondAgent(host, request.instanceId, address);
      const answer = await database.transaction(async (tx) => {
        const isKnownStream = host.reportStream === request.reportStream;
        const acknowledged = isKnownStream ? BigInt(host.reportSequence) : 0n;
        await updateRows(
          tx,
          Hosts,
          { id: host.id },
          {
            ...(request.facts === undefined ? {} : { facts: toJson(AgentFactsSchema, request.facts) as JsonObject }),
            engineProblem: request.facts?.engineProblem ?? "",
            address,
            message: "",
            lastSeen: new Date(),
            reportStream: request.reportStream,
            reportSequence: String(acknowledged),
          },
        );
        // One that is about to leave this host is removed by its move, when the fleet's policy says so.
        const own = await tx.getRepository(Deckies).findBy([{ host: host.name }, { leavingHosts: ArrayContains([host.name]) }]);
        const accepted = request.accepted.map(({ decky, id }) => ({ ...parseDeckyRef(decky), id }));
        const remove = accepted.filter(
          ({ scope, name, id }) => !own.some((row) => row.scope === scope && row.name === name && row.id === id && !row.leaving),
        );
        return { acknowledged, remove, driftPolicy: await policyOf(tx) };
      });
      instances.set(host.id, request.instanceId);
      return answer;
    },
    async report(host, request) {
      if (request.lookedMsAgo !== undefined) registry.connected(host.name)?.noteLook(new Date(Date.now() - request.lookedMsAgo));
      if (request.items.length === 0) {
        const policy = await recentPolicy();
        return { acknowledged: BigInt(host.reportSequence), fullResync: registry.takeResync(host.name), driftPolicy: policy };
      }
      const { facts, ...answer } = await database.transaction(async (tx) => {
        for (const { sequence } of request.items)
          if (sequence < 1n || sequence > lastSequence)
            throw new AppError("REQUEST_INVALID", `items.sequence: is from 1 to ${lastSequence}`);
        const now = await tx.getRepository(Hosts).findOneOrFail({ where: { id: host.id }, lock: { mode: "pessimistic_write" } });
        if (request.reportStream === "" || now.reportStream !== request.reportStream)
          throw new AppError("REQUEST_INVALID", "report_stream: is not the one that was registered");
        const last = BigInt(now.reportSequence);
        const fresh = request.items.filter((item) => item.sequence > last);
        const found: Fact[] = [];
        for (const item of fresh) found.push(...(await take(tx, now, item)));
        const newest = fresh.at(-1)?.sequence ?? last;
        const first = fresh[0];
        const isGap = first !== undefined && first.sequence > last + 1n;
        await updateRows(tx, Hosts, { id: host.id }, { reportSequence: String(newest), lastSeen: new Date() });
        await events.append(tx, found);
        return { facts: found, acknowledged: newest, fullResync: isGap, driftPolicy: await policyOf(tx) };
      });
      if (facts.length > 0) events.wake();
      return { ...answer, fullResync: registry.takeResync(host.name) || answer.fullResync };
    },
  };
}
