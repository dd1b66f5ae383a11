import type { Catalog } from "@decnet/engine/catalog/types";
import { formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { Converger } from "../convergence/converger.ts";
import { type Resolution, situationAfter } from "../decide/resolution.ts";
import {
  type ChangedServices,
  changeServices,
  type Mutation,
  newOperation,
  resolveMutation,
} from "../decide/resolve-mutation.ts";
import { type Situation, servicesAt } from "../decide/situation.ts";
import { isAway } from "../links/host-link.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { AuditTicket } from "../model/access.ts";
import {
  hasEnded,
  makeOperationId,
  type Operation,
  type OperationRecord,
  toPlanRecord,
  unknownPlan,
  withWarnings,
} from "../model/operation.ts";
import { diffServices } from "../model/services.ts";
import { toTarget } from "../model/spec.ts";
import { deckyNotFound, revisionNotFound } from "../store/deckies.ts";
import type { SituationFound } from "../store/situations.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, sameRequest } from "./accept.ts";

export type MutationRequest = Mutation & Pick<ChangeRequest, "audit">;

export interface Mutations {
  /** Checks, then stores the change, its revision and its operation in one commit. Nothing is left of a refused one. */
  submit(mutation: MutationRequest): Promise<OperationRecord>;
}

export interface MutationsOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: HostRegistry;
  readonly converger: Converger;
  readonly catalog: Catalog;
}

interface PlannedMutation extends PlannedChange {
  readonly situation: Situation;
}

export function createMutations({ store, door, hosts, converger, catalog }: MutationsOptions): Mutations {
  const queryOf = ({ scope, decky: name, revision, actor, options }: Mutation) => ({
    decky: { scope, name },
    revisions: revision === undefined ? [] : [revision],
    request: { actor, requestId: options.requestId },
  });

  const situationOf = ({ situation }: SituationFound, { scope, decky }: Mutation): Situation => {
    if (situation === undefined) throw deckyNotFound(scope, decky);
    return situation;
  };

  const changed = (situation: Situation, mutation: Mutation): ChangedServices =>
    changeServices(situation, mutation, (revision) => {
      if (!situation.revisions.has(revision)) throw revisionNotFound(situation.decky, revision);
      return servicesAt(situation, revision);
    });

  const plan = async (situation: Situation, mutation: Mutation): Promise<PlannedMutation> => {
    const { decky } = situation;
    const { before, after } = changed(situation, mutation);
    const target = toTarget(decky, after, decky.desiredRevision + 1, mutation.leaves === true);
    const found = await planThere(hosts, decky.host, target, mutation);
    const record = toPlanRecord(
      found ?? unknownPlan,
      found === undefined ? `host ${decky.host} is away: what has to be done there is known when it is back` : formatPlan(found),
      decky.desiredRevision,
      diffServices(before, mutation.leaves ? [] : after, catalog),
    );
    const shown = { ...withWarnings(record, mutation.warnings), observed: found?.observed ?? [] };
    const row = { ...newOperation(situation, mutation, { now: new Date(), makeId: makeOperationId }), plan: shown };
    return { situation, digest: record.digest, record: dryRunRecord(row) };
  };

  const resolve = (situation: Situation, mutation: Mutation, begins: boolean) =>
    resolveMutation(situation, mutation, changed(situation, mutation), {
      catalog,
      now: new Date(),
      makeId: makeOperationId,
      isReachable: hosts.isReachable(situation.decky.host),
      begins,
    });

  /** First as it was read. The apply has its place before the change is stored as running, and begins as soon as it is. */
  const storeAsRead = async (situation: Situation, mutation: MutationRequest): Promise<OperationRecord | undefined> => {
    const place = converger.reserve(situation);
    try {
      const { resolution, operation } = resolve(situation, mutation, place !== undefined);
      const isStored = await store.resolutions.commit({
        decky: situation.decky,
        resolution,
        ...auditOf(mutation.audit, operation),
      });
      if (!isStored) return undefined;
      const after = situationAfter(situation, resolution);
      return stored(operation, mutation, () =>
        place === undefined || after === undefined ? converger.wake(situation.decky.id) : place.start(after),
      );
    } finally {
      place?.release();
    }
  };

  /** Once more with the decky locked: something of it changed since it was read, which need not be what was agreed to. */
  const storeLocked = async (mutation: MutationRequest, planned: PlannedMutation | undefined): Promise<OperationRecord> => {
    const done = await store.transaction(async (tx): Promise<{ operation: Operation; resolution?: Resolution }> => {
      const [found] = await store.situations.lock(tx, [queryOf(mutation)]);
      const earlier = sameRequest(found?.earlier, mutation);
      if (earlier !== undefined) return { operation: earlier };
      if (found === undefined) throw deckyNotFound(mutation.scope, mutation.decky);
      const situation = situationOf(found, mutation);
      if (planned !== undefined && !isSameBase(planned.situation, situation)) throw planMoved(mutation.decky, planned.digest);
      const { resolution, operation } = resolve(situation, mutation, false);
      await store.resolutions.write(tx, [{ decky: situation.decky, resolution, ...auditOf(mutation.audit, operation) }]);
      return { resolution, operation };
    });
    const { operation, resolution } = done;
    if (resolution === undefined) return store.operations.get(operation.id);
    return stored(operation, mutation, () => operation.deckyId !== null && converger.wake(operation.deckyId));
  };

  const stored = (operation: Operation, { audit }: MutationRequest, begin: () => void): OperationRecord => {
    if (audit !== undefined) audit.isStored = true;
    store.events.wake();
    if (!hasEnded(operation)) begin();
    return { row: operation, steps: [], children: [] };
  };

  return {
    async submit(mutation) {
      const found = await store.situations.load(queryOf(mutation));
      const fresh = firstThen(found, () => store.situations.load(queryOf(mutation)));
      return door.accept<PlannedMutation>(mutation, {
        what: mutation.decky,
        decky: mutation.decky,
        earlier: { found: found.earlier },
        plan: async () => plan(situationOf(await fresh(), mutation), mutation),
        async hostsNeeded() {
          const situation = situationOf(found, mutation);
          changed(situation, mutation);
          return [situation.decky.host];
        },
        async store(planned) {
          const record = await storeAsRead(situationOf(found, mutation), mutation);
          if (record !== undefined) return record;
          return storeLocked(mutation, planned);
        },
      });
    },
  };
}

/** What is there at first; whoever asks again gets what is there then. */
function firstThen<T>(first: T, again: () => Promise<T>): () => Promise<T> {
  let isUsed = false;
  return async () => {
    if (isUsed) return again();
    isUsed = true;
    return first;
  };
}

/** Whether a plan that was made from one situation is still about the other; its host compares the rest when it applies it. */
function isSameBase({ decky: planned }: Situation, { decky }: Situation): boolean {
  return planned.desiredRevision === decky.desiredRevision && planned.host === decky.host;
}

function auditOf(ticket: AuditTicket | undefined, operation: Operation) {
  return ticket === undefined ? {} : { audit: ticket.entryFor(operation.id) };
}

/** Undefined for a change that may wait for its host, while that is away. */
async function planThere(
  hosts: Pick<HostRegistry, "link">,
  host: string,
  target: HostTarget,
  { options }: Mutation,
): Promise<PlanView | undefined> {
  try {
    return await hosts.link(host).plan(target);
  } catch (error) {
    const mayWait = options.whenAway === "queue" && options.expectedPlan === "";
    if (mayWait && isAway(error)) return undefined;
    throw error;
  }
}
