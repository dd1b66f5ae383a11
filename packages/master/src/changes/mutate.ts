import { AppError } from "@decnet/common/errors/app-error";
import type { Catalogue } from "@decnet/engine/catalogue/types";
import { formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { Converger } from "../convergence/converger.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { StoredService } from "../model/decky.ts";
import { operationFacts, stateFact } from "../model/events.ts";
import { type OperationKind, toPlanRecord } from "../model/operation.ts";
import { diffServices, sameServices } from "../model/services.ts";
import { type Database, type Tx, violatedConstraint } from "../store/database.ts";
import { type DeckyStore, toTarget } from "../store/deckies.ts";
import type { OperationRecord, OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";
import { Deckies, type DeckyRow, type OperationRow } from "../store/tables.ts";
import { updateRows } from "../store/write.ts";

export interface MutationOptions {
  readonly requestId: string;
  readonly expectedRevision: number | undefined;
  readonly expectedPlan: string;
  readonly dryRun: boolean;
  readonly reason: string;
  readonly onFailure: "undo" | "keep";
  /** What to do when the decky's host does not answer. */
  readonly whenAway: "queue" | "refuse";
}

export interface Mutation {
  readonly kind: OperationKind;
  readonly scope: string;
  readonly decky: string;
  readonly service: string;
  readonly actor: string;
  readonly options: MutationOptions;
  /** Keyed hash of the whole request, to tell a repeated call from another one with the same id. */
  readonly requestHash: string;
  /** Pure: the services after the change. Throws when the change cannot be. */
  readonly change: (
    services: readonly StoredService[],
    tx: { revision(number: number): Promise<readonly StoredService[]> },
  ) => Promise<StoredService[]> | StoredService[];
  /** The decky is to be gone afterwards. */
  readonly leaves?: boolean;
  /** The operation that this one is a part of. */
  readonly parent?: string;
}

export interface Mutations {
  /** Checks, then stores the change, its revision and its operation in one transaction. Nothing is left of a refused one. */
  submit(mutation: Mutation): Promise<OperationRecord>;
}

export interface MutationsOptions {
  readonly database: Database;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly hosts: HostRegistry;
  readonly converger: Converger;
  readonly catalogue: Catalogue;
}

export function createMutations({
  database,
  deckies,
  operations,
  events,
  hosts,
  converger,
  catalogue,
}: MutationsOptions): Mutations {
  const prepare = async (tx: Tx, decky: DeckyRow, mutation: Mutation) => {
    if (decky.leaving)
      throw new AppError("DECKY_LEAVING", `${decky.name} is being torn down`, { metadata: { decky: decky.name } });
    const expected = mutation.options.expectedRevision;
    if (expected !== undefined && expected !== decky.desiredRevision)
      throw new AppError("REVISION_CONFLICT", `${decky.name} is at revision ${decky.desiredRevision}, not ${expected}`, {
        metadata: { decky: decky.name, expected: String(expected), actual: String(decky.desiredRevision) },
      });
    const before = await deckies.services(tx, decky, decky.desiredRevision);
    const after = await mutation.change(before, {
      revision: async (number) => (await deckies.revision(tx, decky, number)).services,
    });
    return { before, after };
  };

  const planFor = async (
    decky: DeckyRow,
    before: readonly StoredService[],
    after: readonly StoredService[],
    mutation: Mutation,
  ) => {
    const target = toTarget(decky, after, decky.desiredRevision + 1, mutation.leaves === true);
    const plan = await planThere(decky.host, target, mutation);
    return toPlanRecord(
      plan ?? { steps: [], untouched: [], risks: [], digest: "" },
      plan === undefined ? `host ${decky.host} is away: what has to be done there is known when it is back` : formatPlan(plan),
      decky.desiredRevision,
      diffServices(before, mutation.leaves ? [] : after, catalogue),
    );
  };

  /** Undefined for a change that may wait for its host, while that is away. */
  const planThere = async (host: string, target: HostTarget, { options }: Mutation): Promise<PlanView | undefined> => {
    try {
      return await hosts.link(host).plan(target);
    } catch (error) {
      const mayWait = options.whenAway === "queue" && options.expectedPlan === "" && host !== "local";
      if (mayWait && error instanceof AppError && error.reason === "HOST_UNREACHABLE") return undefined;
      throw error;
    }
  };

  /** Answers the operation of an earlier call with the same id, and refuses an id that was used for something else. */
  const findRepeated = async (tx: Tx, mutation: Mutation): Promise<OperationRow | undefined> => {
    if (mutation.options.requestId === "") return undefined;
    const earlier = await operations.findByRequest(tx, mutation.actor, mutation.options.requestId);
    if (earlier !== undefined && earlier.requestHash !== mutation.requestHash)
      throw new AppError("REQUEST_ID_REUSED", `the request id ${mutation.options.requestId} was used for another request`, {
        metadata: { operation: earlier.id },
        resource: { type: "operation", name: earlier.id },
      });
    return earlier;
  };

  const newOperation = (decky: DeckyRow, mutation: Mutation): OperationRow =>
    operations.make({
      kind: mutation.kind,
      actor: mutation.actor,
      reason: mutation.options.reason,
      deckyId: decky.id,
      scope: decky.scope,
      deckyName: decky.name,
      host: decky.host,
      service: mutation.service,
      requestId: mutation.options.requestId === "" ? null : mutation.options.requestId,
      requestHash: mutation.requestHash,
      onFailure: mutation.options.onFailure,
      expectedPlan: mutation.options.expectedPlan,
      whenAway: mutation.options.whenAway,
      parent: mutation.parent ?? null,
    });

  const dryRun = async (mutation: Mutation): Promise<OperationRecord> => {
    const { decky, before, after } = await database.read(async (tx) => {
      const found = await deckies.find(tx, mutation.scope, mutation.decky);
      return { decky: found, ...(await prepare(tx, found, mutation)) };
    });
    const plan = await planFor(decky, before, after, mutation);
    refuseOtherPlan(mutation, plan.digest);
    return { row: { ...newOperation(decky, mutation), id: "", plan }, steps: [], children: [] };
  };

  const refuseOtherPlan = ({ decky, options }: Mutation, actual: string) => {
    if (options.expectedPlan !== "" && options.expectedPlan !== actual)
      throw new AppError("PLAN_CHANGED", `the plan for ${decky} is another one now`, {
        metadata: { decky, expected: options.expectedPlan, actual },
      });
  };

  return {
    async submit(mutation) {
      if (mutation.options.dryRun) return dryRun(mutation);
      const repeated = await database.read((tx) => findRepeated(tx, mutation));
      if (repeated !== undefined) return operations.get(repeated.id);
      if (mutation.options.expectedPlan !== "") await dryRun(mutation);
      const stored = await storeOnce(mutation);
      events.wake();
      if (stored.row.deckyId !== null) converger.wake(stored.row.deckyId, stored.row.host);
      return stored;
    },
  };

  /** Two calls with one id may race: the second insert violates the unique index, and finds the first. */
  async function storeOnce(mutation: Mutation): Promise<OperationRecord> {
    try {
      return await database.transaction((tx) => store(tx, mutation));
    } catch (error) {
      if (violatedConstraint(error) !== "operations_request") throw error;
      const winner = await database.read((tx) => findRepeated(tx, mutation));
      if (winner === undefined) throw error;
      return operations.get(winner.id);
    }
  }

  async function store(tx: Tx, mutation: Mutation): Promise<OperationRecord> {
    const decky = await deckies.lock(tx, mutation.scope, mutation.decky);
    // The same call may have been stored while this one waited for the lock.
    const repeated = await findRepeated(tx, mutation);
    if (repeated !== undefined) return { row: repeated, steps: [], children: [] };
    const { before, after } = await prepare(tx, decky, mutation);
    if (mutation.options.whenAway === "refuse") hosts.link(decky.host);
    const number = decky.desiredRevision + 1;
    const changes = diffServices(before, mutation.leaves ? [] : after, catalogue);
    const nothingToDo = mutation.leaves !== true && sameServices(before, after);
    const isReal = decky.appliedRevision === decky.desiredRevision && (await operations.openOf(tx, decky.id)).length === 0;
    // A save, or a change that asks for what is there already: stored and done, the containers are as wanted.
    const done = nothingToDo && isReal && decky.state !== "failed";
    // Nothing changes on a host that is away: what is known of the decky, or not, stays as it is.
    const state = hosts.isReachable(decky.host) ? "changing" : decky.state;
    const plan = {
      steps: [],
      untouched: [],
      risks: [],
      baseRevision: decky.desiredRevision,
      digest: "",
      text: "nothing to do",
      changes,
    };
    const operation: OperationRow = {
      ...newOperation(decky, mutation),
      revision: number,
      plan,
      ...(done ? { state: "succeeded", startedAt: new Date(), finishedAt: new Date() } : {}),
    };
    await operations.insert(tx, operation);
    await deckies.addRevision(tx, {
      decky,
      number,
      services: after,
      actor: mutation.actor,
      reason: mutation.options.reason,
      operationId: operation.id,
    });
    await updateRows(
      tx,
      Deckies,
      { id: decky.id },
      {
        desiredRevision: number,
        leaving: mutation.leaves === true,
        lastOperation: operation.id,
        hold: false,
        retryAt: null,
        ...(done ? { appliedRevision: number } : { state }),
      },
    );
    await events.append(tx, done ? operationFacts(operation, after) : stateFact(decky, state, ""));
    return { row: operation, steps: [], children: [] };
  }
}
