import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { createExclusive, type Exclusive } from "@decnet/common/runtime/exclusive";
import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { HostOutcome } from "@decnet/engine/wire/outcome";
import { moveTo } from "../changes/decky-changes.ts";
import { culpritsOf, endOf } from "../decide/outcome.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { StoredService } from "../model/decky.ts";
import { operationFacts, stateFact } from "../model/events.ts";
import type { OperationError } from "../model/operation.ts";
import { diffServices, revertService, sameServices } from "../model/services.ts";
import type { Database, Tx } from "../store/database.ts";
import { type DeckyStore, toTarget } from "../store/deckies.ts";
import type { OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";
import { endParents } from "../store/parents.ts";
import { Deckies, type DeckyRow, Fleets, type OperationRow } from "../store/tables.ts";
import { updateRows } from "../store/write.ts";
import { createRecorder } from "./recorder.ts";

export interface ConvergerOptions {
  readonly database: Database;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly hosts: HostRegistry;
  readonly catalogue: Catalogue;
  readonly log: Logger;
  /** Deckies of one host that change side by side. */
  readonly parallel: number;
  readonly stopping: AbortSignal;
  readonly onApplied: (result: "applied" | "failed", durationMs: number) => void;
}

/**
 * Makes desired revisions real. Level-triggered: a wake-up says "look", the database says what is wanted. One decky never has two runs at a time,
 * different deckies run side by side, bounded for each host, and a run that was cut off is done again from a fresh observation. What cannot be done because
 * a host is away waits for its connection and holds up nobody else.
 */
export interface Converger {
  /** Looks at a decky that lives on this host. */
  wake(deckyId: string, host: string): void;
  /** Looks at every decky of a host that has something to do, or has to leave it. */
  wakeHost(host: string): Promise<void>;
  /** Ends the step that runs now for this operation's decky, then undoes. */
  interrupt(deckyId: string): void;
  isBusy(deckyId: string): boolean;
  /** The host that is away and without which the decky does not go on, as found when it was last looked at. */
  heldUpBy(deckyId: string): string | undefined;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

interface Attempt {
  readonly decky: DeckyRow;
  readonly revision: number;
  readonly services: readonly StoredService[];
  readonly open: readonly OperationRow[];
}

/** Until a host is asked again to remove a decky that moved away. */
const leaveAgainMs = 5_000;

class Interrupted extends Error {}

export function createConverger(options: ConvergerOptions): Converger {
  const { database, deckies, operations, events, hosts, catalogue, log, stopping } = options;
  const lanes = new Map<string, Exclusive>();
  const laneOf = (host: string) => {
    const lane = lanes.get(host) ?? createExclusive(options.parallel);
    lanes.set(host, lane);
    return lane;
  };
  const dirty = new Set<string>();
  const busy = new Map<string, Promise<void>>();
  const running = new Map<string, AbortController>();
  const held = new Map<string, string>();

  const wake = (deckyId: string, host: string) => {
    dirty.add(deckyId);
    if (busy.has(deckyId) || stopping.aborted) return;
    const work = laneOf(host)
      .run(deckyId, stopping, () => convergeWhileDirty(deckyId, host))
      .catch((error: unknown) => {
        if (!stopping.aborted) log.error("convergence failed", { deckyId, err: error });
      })
      .finally(() => {
        busy.delete(deckyId);
        if (dirty.has(deckyId)) wake(deckyId, host);
      });
    busy.set(deckyId, work);
  };

  const convergeWhileDirty = async (deckyId: string, host: string) => {
    while (dirty.delete(deckyId) && !stopping.aborted) {
      try {
        if (await convergeOnce(deckyId)) dirty.add(deckyId);
      } catch (error) {
        if (stopping.aborted) return;
        if (!(error instanceof AppError)) log.error("an apply ended unexpectedly", { deckyId, err: error });
        await postpone(deckyId, host, error);
      }
    }
  };

  /** Returns whether there may be more to do at once. */
  const convergeOnce = async (deckyId: string): Promise<boolean> => {
    const attempt = await begin(deckyId);
    if (attempt === undefined) {
      await leaveAfterwards(deckyId);
      return false;
    }
    if (attempt.open.some((operation) => operation.cancelRequested && operation.error === null)) {
      // Cancelled while nothing ran for it, such as while its host was away: it is not done once more, but undone.
      await fail(attempt, undefined, undefined);
      return true;
    }
    if (attempt.decky.leavingHosts.length > 0) await leaveHosts(deckyId, "before");
    const host = hosts.link(attempt.decky.host);
    const interruption = new AbortController();
    running.set(deckyId, interruption);
    const startedAt = performance.now();
    const recorder = createRecorder({ operations, log, decky: attempt.decky, open: attempt.open });
    const target = toTarget(attempt.decky, attempt.services, attempt.revision, attempt.decky.leaving);
    try {
      const single = attempt.open.length === 1 ? attempt.open[0] : undefined;
      const outcome = await host.apply(target, {
        expectedDigest: single?.error === null ? single.expectedPlan : "",
        onPlan: recorder.onPlan,
        onStep: recorder.onStep,
        signal: AbortSignal.any([stopping, interruption.signal]),
      });
      await recorder.flush();
      options.onApplied(outcome.failure === undefined ? "applied" : "failed", performance.now() - startedAt);
      if (outcome.failure === undefined) return await settle(attempt, outcome);
      await fail(attempt, outcome, errorOf(outcome, attempt));
      return true;
    } catch (error) {
      await recorder.flush();
      if (error instanceof AppError && error.reason === "PLAN_CHANGED") {
        await fail(attempt, undefined, {
          reason: "PLAN_CHANGED",
          message: error.message,
          next: error.next,
          outputTail: [],
          undone: false,
        });
        return true;
      }
      if (error instanceof AppError && error.reason === "HOST_UNREACHABLE" && attempt.open.some(refusesToWait)) {
        await giveUp(attempt, error);
        return false;
      }
      if (interruption.signal.aborted && !stopping.aborted) {
        await fail(attempt, undefined, undefined);
        return true;
      }
      throw error;
    } finally {
      running.delete(deckyId);
    }
  };

  /** Takes what is to be done: the desired revision with the operations that wait for it. Undefined when there is nothing. */
  const begin = async (deckyId: string): Promise<Attempt | undefined> => {
    const begun = await database.transaction(async (tx) => {
      const decky = await deckies.lockById(tx, deckyId);
      const open = decky === undefined ? [] : await operations.openOf(tx, deckyId);
      // A host that is away is waited for: its connection wakes its deckies.
      const missing = decky === undefined || open.length === 0 ? undefined : await missingHost(tx, decky);
      if (missing === undefined) held.delete(deckyId);
      else held.set(deckyId, missing);
      if (decky === undefined || open.length === 0 || missing !== undefined) return undefined;
      for (const operation of open)
        if (operation.state === "pending") await operations.update(tx, operation.id, { state: "running", startedAt: new Date() });
      const last = open.at(-1)?.id ?? null;
      if (decky.state !== "changing" || decky.lastOperation !== last)
        await updateRows(tx, Deckies, { id: deckyId }, { state: "changing", lastOperation: last });
      const services = await deckies.services(tx, decky, decky.desiredRevision);
      await events.append(tx, stateFact(decky, "changing", ""));
      return { decky: { ...decky, state: "changing" as const }, revision: decky.desiredRevision, services, open };
    });
    if (begun !== undefined) events.wake();
    return begun;
  };

  /** The attempt is what was seen running: operations up to it have ended. Returns whether there is more to do. */
  const settle = async (attempt: Attempt, outcome: HostOutcome): Promise<boolean> => {
    let isMore = false;
    await commit(async (tx) => {
      const decky = await deckies.lockById(tx, attempt.decky.id);
      if (decky === undefined) return { ids: [], facts: [] };
      const all = await operations.openOf(tx, decky.id);
      const open = all.filter((operation) => operation.revision <= attempt.revision);
      // After a move, the next round removes the decky from where it was.
      isMore = open.length < all.length || decky.leavingHosts.length > 0;
      const ended: OperationRow[] = [];
      for (const operation of open) {
        const isEarlier = operation.error === null && operation.service !== "" && operation.revision !== attempt.revision;
        const own = isEarlier ? await deckies.services(tx, decky, operation.revision) : [];
        const good =
          operation.error === null ? endOf(operation, { revision: attempt.revision, services: attempt.services }, own) : "failed";
        const state = operation.error !== null && operation.cancelRequested ? "cancelled" : good;
        const error = operation.error === null ? null : { ...operation.error, undone: operation.onFailure === "undo" };
        const patch = { state, error, receipt: outcome.receipt, finishedAt: new Date() } as const;
        await operations.update(tx, operation.id, patch);
        ended.push({ ...operation, ...patch });
      }
      const facts = ended.flatMap((operation) => operationFacts(operation, attempt.services));
      if (decky.leaving && attempt.decky.leaving) {
        await tx.getRepository(Deckies).delete({ id: decky.id });
        return { ids: ended.map(({ id }) => id), facts: [...facts, ...stateFact(decky, "gone", "torn down")] };
      }
      // It is to be somewhere else by now, or is wanted again after all.
      if (decky.host !== attempt.decky.host || attempt.decky.leaving) {
        const seen = attempt.decky.leaving ? {} : { appliedRevision: attempt.revision, lastHost: attempt.decky.host };
        await updateRows(tx, Deckies, { id: decky.id }, { ...seen, renderedRevision: 0, state: "changing" });
        return { ids: ended.map(({ id }) => id), facts };
      }
      const judged = outcome.judged;
      const state = decky.desiredRevision === attempt.revision ? (judged?.state ?? "pending") : "changing";
      await updateRows(
        tx,
        Deckies,
        { id: decky.id },
        {
          appliedRevision: attempt.revision,
          renderedRevision: attempt.revision,
          lastHost: decky.host,
          state,
          message: judged?.message ?? "",
          observed: judged === undefined ? null : { baseId: judged.baseId, services: judged.services },
          observedAt: new Date(),
          failures: 0,
          retryAt: null,
          hold: false,
        },
      );
      return {
        ids: ended.map(({ id }) => id),
        facts: [...facts, ...stateFact(decky, state, judged?.message ?? "")],
      };
    });
    return isMore;
  };

  /**
   * A step failed, or the operation was interrupted (no error then). The failed change is taken back in a new revision, which the next run makes
   * real; the operation ends when that was seen. What cannot be taken back ends the operation at once.
   */
  const fail = (attempt: Attempt, outcome: HostOutcome | undefined, error: OperationError | undefined): Promise<void> =>
    commit(async (tx) => {
      const decky = await deckies.lockById(tx, attempt.decky.id);
      if (decky === undefined) return { ids: [], facts: [] };
      const open = await operations.openOf(tx, decky.id);
      const slug = outcome?.failure?.step.slug ?? "";
      const culprits =
        error === undefined ? open.filter((operation) => operation.cancelRequested) : culpritsOf(open, attempt.revision, slug);
      const fresh = culprits.filter((operation) => operation.error === null);
      const keep = fresh.some((operation) => operation.onFailure === "keep");
      const desired = await deckies.services(tx, decky, decky.desiredRevision);
      const good = decky.appliedRevision === 0 ? [] : await deckies.services(tx, decky, decky.appliedRevision);
      const slugs = slug === "" ? (error === undefined ? culprits.map((operation) => operation.service) : [""]) : [slug];
      const reverted = slugs.reduce<StoredService[]>(
        (services, each) =>
          each === "" ? revertAll(services, attempt.services, good) : revertService(services, attempt.services, good, each),
        [...desired],
      );
      const leaves =
        decky.appliedRevision === 0 && !decky.leaving && !keep && fresh.some((operation) => operation.kind === "deploy_decky");
      const stays = error === undefined && decky.leaving && fresh.some((operation) => operation.kind === "teardown_decky");
      const back = keep || !fresh.some(isMove) ? undefined : moveBack(decky, attempt.decky.host);
      const canUndo = !keep && fresh.length > 0 && (leaves || stays || back !== undefined || !sameServices(reverted, desired));
      const record = error ?? { reason: "APPLY_FAILED" as const, message: "cancelled", next: [], outputTail: [], undone: false };
      if (canUndo) {
        const number = decky.desiredRevision + 1;
        const culprit = fresh[0] as OperationRow;
        await deckies.addRevision(tx, {
          decky,
          number,
          services: leaves ? desired : reverted,
          actor: culprit.actor,
          reason: `undo of ${culprit.id}`,
          operationId: culprit.id,
        });
        for (const operation of fresh)
          await operations.update(tx, operation.id, {
            error: record,
            ...(outcome === undefined ? {} : { receipt: outcome.receipt }),
          });
        await updateRows(tx, Deckies, { id: decky.id }, { desiredRevision: number, leaving: leaves, ...back });
        if (back !== undefined) for (const { id } of open) await operations.update(tx, id, { host: back.host });
        // Operations that were covered by the attempt and did not fail go on with the new revision.
        await tx.query("UPDATE operations SET revision = $1 WHERE decky_id = $2 AND error IS NOT NULL AND state = 'running'", [
          number,
          decky.id,
        ]);
        return { ids: [], facts: [] };
      }
      const ended: OperationRow[] = [];
      for (const operation of culprits) {
        const patch = {
          state: operation.cancelRequested ? "cancelled" : "failed",
          error: {
            ...(operation.error ?? record),
            undone: false,
            ...(operation.error === null
              ? {}
              : { message: `${operation.error.message}; the undo failed too: ${record.message}` }),
          },
          finishedAt: new Date(),
          ...(outcome === undefined ? {} : { receipt: outcome.receipt }),
        } as const;
        await operations.update(tx, operation.id, patch);
        ended.push({ ...operation, ...patch });
      }
      const failures = decky.failures + 1;
      const state = outcome?.judged?.state === "running" ? "degraded" : (outcome?.judged?.state ?? "failed");
      await updateRows(
        tx,
        Deckies,
        { id: decky.id },
        {
          state,
          message: record.message,
          failures,
          hold: keep,
          retryAt: new Date(Date.now() + backoffMs(failures, { baseMs: 5_000, maxMs: 300_000 }, Math.random)),
        },
      );
      return {
        ids: ended.map(({ id }) => id),
        facts: [...ended.flatMap((operation) => operationFacts(operation, desired)), ...stateFact(decky, state, record.message)],
      };
    });

  const commit = async (
    work: (tx: Tx) => Promise<{ ids: string[]; facts: Parameters<EventLog["append"]>[1] }>,
  ): Promise<void> => {
    const { ids } = await database.transaction(async (tx) => {
      const done = await work(tx);
      const parents = await endParents(tx, done.ids);
      await events.append(tx, done.facts);
      return { ids: [...done.ids, ...parents] };
    });
    operations.wake(ids);
    events.wake();
  };

  /** The host or the database does not answer: what is wanted stays wanted, and is tried again later. */
  const postpone = async (deckyId: string, host: string, error: unknown): Promise<void> => {
    const message = error instanceof Error ? error.message : String(error);
    const retryMs = await database
      .transaction(async (tx) => {
        const decky = await deckies.lockById(tx, deckyId);
        if (decky === undefined) return undefined;
        const failures = decky.failures + 1;
        const delayMs = backoffMs(failures, { baseMs: 500, maxMs: 30_000 }, Math.random);
        await updateRows(tx, Deckies, { id: deckyId }, { failures, state: "unknown", message });
        await events.append(tx, stateFact(decky, "unknown", message));
        return delayMs;
      })
      .catch(() => 2_000);
    events.wake();
    if (retryMs !== undefined) setTimeout(() => wake(deckyId, host), retryMs).unref();
  };

  const movePolicy = async (tx: Tx) => (await tx.getRepository(Fleets).findOneBy({ id: 1 }))?.movePolicy ?? "remove_first";

  /** The host that is away and that has to be there first: the decky's own, and where it must be gone before it is deployed. */
  const missingHost = async (tx: Tx, decky: DeckyRow): Promise<string | undefined> => {
    if (!hosts.isReachable(decky.host)) return decky.host;
    const left = decky.leavingHosts.find((host) => !hosts.isReachable(host));
    return left !== undefined && (await movePolicy(tx)) === "remove_first" ? left : undefined;
  };

  /**
   * Removes a moved decky from where it was: before it is deployed, or once it runs at its new place, as the fleet's policy wants. One that is torn down
   * leaves everything first. A host that is away is left when it is back, unless it has to be first: then it throws HOST_UNREACHABLE.
   */
  const leaveHosts = async (deckyId: string, when: "before" | "after"): Promise<void> => {
    const { decky, policy } = await database.read(async (tx) => ({
      decky: await tx.getRepository(Deckies).findOneBy({ id: deckyId }),
      policy: await movePolicy(tx),
    }));
    if (decky === null) return;
    const isFirst = policy === "remove_first";
    if (when === "before" ? !isFirst && !decky.leaving : decky.renderedRevision === 0) return;
    for (const host of decky.leavingHosts)
      if (hosts.isReachable(host) || (when === "before" && isFirst)) await leaveHost(decky, host);
  };

  const leaveHost = async (decky: DeckyRow, host: string): Promise<void> => {
    const nothing = () => undefined;
    const target = { kind: "absent", scope: decky.scope, name: decky.name } as const;
    const { failure } = await hosts
      .link(host)
      .apply(target, { expectedDigest: "", onPlan: nothing, onStep: nothing, signal: stopping });
    if (failure !== undefined)
      throw new AppError("HOST_UNREACHABLE", `${decky.name} could not be removed from ${host}: ${failure.message}`, {
        metadata: { host },
      });
    await database.read((tx) =>
      tx.query("UPDATE deckies SET leaving_hosts = array_remove(leaving_hosts, $2) WHERE id = $1", [decky.id, host]),
    );
  };

  /** The decky runs where it is to be: a failure here says nothing about it, and is tried again. */
  const leaveAfterwards = async (deckyId: string): Promise<void> => {
    try {
      await leaveHosts(deckyId, "after");
    } catch (error) {
      if (stopping.aborted) return;
      log.warn("a decky could not be removed from where it was", { deckyId, err: error });
      setTimeout(() => wake(deckyId, "local"), leaveAgainMs).unref();
    }
  };

  /** Where a decky whose move failed goes: to where it ran. A host that is away is waited for. */
  const moveBack = (decky: DeckyRow, attempted: string) => {
    const { lastHost } = decky;
    if (lastHost === null || decky.leaving || decky.host !== attempted || lastHost === attempted) return undefined;
    const { host, leavingHosts, renderedRevision } = moveTo(decky, lastHost);
    return { host, leavingHosts, renderedRevision };
  };

  /**
   * The host went away in the middle, and who asked does not want to wait for it: their operations end as failed now. What the host made of them is not
   * known; a new revision without them waits for the host as an operation of its own.
   */
  const giveUp = (attempt: Attempt, error: AppError): Promise<void> =>
    commit(async (tx) => {
      const decky = await deckies.lockById(tx, attempt.decky.id);
      if (decky === undefined) return { ids: [], facts: [] };
      const quitters = (await operations.openOf(tx, decky.id)).filter(refusesToWait);
      const message = `${error.message}; what it made of the change is not known, and it is taken back when the host is here again`;
      const ended: OperationRow[] = [];
      for (const operation of quitters) {
        const patch = {
          state: "failed",
          error: { reason: "HOST_UNREACHABLE", message, next: error.next, outputTail: [], undone: false },
          finishedAt: new Date(),
        } as const;
        await operations.update(tx, operation.id, patch);
        ended.push({ ...operation, ...patch });
      }
      const desired = await deckies.services(tx, decky, decky.desiredRevision);
      const good = decky.appliedRevision === 0 ? [] : await deckies.services(tx, decky, decky.appliedRevision);
      const reverted = quitters.reduce<StoredService[]>(
        (services, operation) =>
          operation.service === ""
            ? revertAll(services, attempt.services, good)
            : revertService(services, attempt.services, good, operation.service),
        [...desired],
      );
      const leaves = decky.appliedRevision === 0 && quitters.some(({ kind }) => kind === "deploy_decky");
      const back = quitters.some(isMove) ? moveBack(decky, attempt.decky.host) : undefined;
      const [first] = quitters;
      if (first !== undefined && (decky.appliedRevision > 0 || leaves)) {
        const number = decky.desiredRevision + 1;
        const undo = operations.make({
          kind: "repair",
          actor: first.actor,
          reason: `undo of ${first.id}`,
          deckyId: decky.id,
          scope: decky.scope,
          deckyName: decky.name,
          host: back?.host ?? decky.host,
          revision: number,
        });
        await operations.insert(tx, undo);
        await deckies.addRevision(tx, {
          decky,
          number,
          services: reverted,
          actor: first.actor,
          reason: `undo of ${first.id}`,
          operationId: undo.id,
        });
        await updateRows(
          tx,
          Deckies,
          { id: decky.id },
          { desiredRevision: number, leaving: leaves, lastOperation: undo.id, ...back },
        );
      }
      await updateRows(tx, Deckies, { id: decky.id }, { state: "unknown", message: error.message });
      return {
        ids: ended.map(({ id }) => id),
        facts: [
          ...ended.flatMap((operation) => operationFacts(operation, reverted)),
          ...stateFact(decky, "unknown", error.message),
        ],
      };
    });

  const revertAll = (
    desired: readonly StoredService[],
    attempted: readonly StoredService[],
    good: readonly StoredService[],
  ): StoredService[] => {
    const changed = diffServices(good, attempted, catalogue).map((change) => change.service);
    return changed.reduce<StoredService[]>((services, slug) => revertService(services, attempted, good, slug), [...desired]);
  };

  return {
    wake,
    async wakeHost(host) {
      const rows: { id: string; host: string }[] = await database.read((tx) =>
        tx.query(
          `SELECT id, host FROM deckies WHERE leaving_hosts <> '{}' AND $1 = ANY (leaving_hosts)
           UNION SELECT decky.id, decky.host FROM deckies AS decky WHERE decky.host = $1 AND EXISTS
             (SELECT FROM operations WHERE decky_id = decky.id AND state IN ('pending', 'running'))`,
          [host],
        ),
      );
      for (const row of rows) wake(row.id, row.host);
    },
    interrupt: (deckyId) => running.get(deckyId)?.abort(new Interrupted("cancelled by an operator")),
    heldUpBy: (deckyId) => {
      const host = held.get(deckyId);
      return host === undefined || hosts.isReachable(host) ? undefined : host;
    },
    isBusy: (deckyId) => busy.has(deckyId),
    idle: async () => void (await Promise.all(busy.values())),
  };
}

function refusesToWait(operation: OperationRow): boolean {
  return operation.whenAway === "refuse" && operation.error === null;
}

function isMove({ kind }: OperationRow): boolean {
  return kind === "move_decky";
}

function errorOf(outcome: HostOutcome, attempt: Attempt): OperationError {
  const failure = outcome.failure;
  const next = [`decnet decky get ${attempt.decky.name}`, `decnet op get ${attempt.open.at(-1)?.id ?? ""} --output-log`];
  const where = attempt.open.some(isMove) ? `on ${attempt.decky.host}: ` : "";
  return {
    reason: "APPLY_FAILED",
    message: `${where}${failure?.message ?? ""}`,
    next,
    outputTail: failure?.outputTail ?? [],
    undone: false,
  };
}
