import { AppError } from "@decnet/common/errors/app-error";
import type { DeckyChange } from "../decide/decky-change.ts";
import { createPlacer } from "../decide/placement.ts";
import { hostEvent, stateEvent } from "../model/events.ts";
import type { Host } from "../model/host.ts";
import type { OperationError, OperationRecord } from "../model/operation.ts";
import type { Tx } from "../store/database.ts";
import { deckiesOf, type HostChange, type HostChangeOptions, type HostRequest, submitHostChange } from "./change-host.ts";
import { hostPlan } from "./host-plan.ts";
import { forgetWith, nameIn, refuseTopologies, tearDownWith } from "./host-topologies.ts";

export interface HostChanges {
  /** No new deckies; the present ones move to other workers. Throws NO_HOST_FITS when there is none. */
  drain(request: HostRequest): Promise<OperationRecord>;
  activate(name: string): Promise<void>;
  /**
   * Removes the host's deckies; with the last of them its certificate ends. Throws HOST_UNREACHABLE for a host that is away,
   * unless forced: then its deckies are forgotten, and its containers stay where they are. Forced once more while it goes on, it
   * ends at once in the same way: who has a copy of the host's key may never finish.
   */
  decommission(request: HostRequest & { readonly force: boolean }): Promise<OperationRecord>;
  /** Ends what decommissioning began, in this life of the master or an earlier one, once nothing of the host is left. */
  finishDecommissioning(): Promise<void>;
}

export interface HostChangesOptions extends HostChangeOptions {
  /** Cuts every connection that the host's certificates opened. */
  readonly disconnect: (hostId: string) => void;
  /** Ends what a host's calls are doing, and lets none begin before the result is called: they lock the same rows. */
  readonly holdCalls: (hostId: string) => Promise<() => void>;
  readonly stopping: AbortSignal;
}

/** How a decommission stands when its transaction ends. */
type Decommissioned =
  | { readonly kind: "gone" | "going"; readonly host: Host }
  | { readonly kind: "forgotten"; readonly host: Host; readonly ended: readonly string[]; readonly waiting: readonly string[] };

export function createHostChanges(options: HostChangesOptions): HostChanges {
  const { store, hosts, board, converger, stopping } = options;

  const hangUp = (host: Host): void => {
    store.events.wake();
    hosts.connected(host.name)?.close();
    options.disconnect(host.id);
  };

  /** As soon as its parts have ended; a failure here is made good by the search for hosts that are being decommissioned. */
  const finishAfter = async (host: Host, { children }: OperationRecord): Promise<void> => {
    for (const id of children) await board.waitForEnd(await store.operations.get(id), stopping);
    await finishOne(host.id);
  };

  /** Whatever a worker does, it does not keep its own end waiting. */
  const holdCalls = async (name: string) => {
    const host = await store.hosts.findLast(name);
    return host === undefined ? undefined : options.holdCalls(host.id);
  };

  const finishOne = async (id: string): Promise<void> => {
    const done = await store.transaction((tx) => finishDecommission(tx, id, options));
    if (done?.gone !== undefined) hangUp(done.gone);
    board.ended((done?.ids ?? []).map((ended) => ({ id: ended, record: undefined })));
  };

  return {
    drain: async (request) => (await submitHostChange(request, drainOf(options), options)).record,
    activate: (name) =>
      store.transaction(async (tx) => {
        const host = await store.hosts.find(name, tx);
        if (host.decommissioning)
          throw new AppError("HOST_DRAINING", `host ${name} is being decommissioned`, { metadata: { host: name } });
        await store.hosts.update(tx, host.id, { draining: false, message: "" });
      }),
    async decommission(request) {
      const release = request.options.dryRun ? undefined : await holdCalls(request.name);
      const { record, finished } = await submitHostChange(request, decommissionOf(request, options), options).finally(release);
      if (finished === undefined) return record;
      if (finished.kind === "going") void finishAfter(finished.host, record).catch(() => undefined);
      else hangUp(finished.host);
      if (finished.kind === "forgotten") {
        board.ended(finished.ended.map((id) => ({ id, record: undefined })));
        // What waited for the removal from it goes on.
        for (const id of finished.waiting) converger.wake(id);
      }
      return record;
    },
    async finishDecommissioning() {
      for (const host of await store.hosts.decommissioning()) await finishOne(host.id);
    },
  };
}

function drainOf({ store, hosts }: HostChangesOptions): HostChange<undefined> {
  return {
    kind: "drain_host",
    mayWait: true,
    async prepare(tx, host) {
      const others = (await store.hosts.list(tx))
        .filter((other) => other.id !== host.id)
        .map((other) => ({ ...other, isReachable: hosts.isReachable(other.name) }));
      const placer = createPlacer(others, await store.deckies.countPerHost(tx));
      const present = await deckiesOf(tx, host.name, store);
      refuseTopologies(host, present, await store.topologies.ofHost(tx, host.name));
      const changes = present.map((change): DeckyChange => {
        const target = placer.place({ kind: "balanced" }, undefined);
        return { ...change, action: "move", host: target };
      });
      const plan = hostPlan(changes, ({ decky, host: to }) => `move ${decky.name} from ${host.name} to ${to}`);
      return { changes, plan, patch: { draining: true }, goesOn: false };
    },
    finish: async () => undefined,
  };
}

function decommissionOf(
  request: HostRequest & { readonly force: boolean },
  options: HostChangesOptions,
): HostChange<Decommissioned> {
  const { store, hosts } = options;
  const isAway = !hosts.isReachable(request.name);
  const isForgotten = (host: Host) => isAway || (request.force && host.decommissioning);
  return {
    kind: "decommission_host",
    mayWait: false,
    async prepare(tx, host) {
      if (isAway && !request.force) hosts.link(host.name);
      const changes = await deckiesOf(tx, host.name, store);
      const verb = isForgotten(host) ? "forget" : "teardown";
      const called = nameIn(await store.topologies.ofHost(tx, host.name));
      const plan = hostPlan(changes, (change) => `${verb} ${called(change)}`);
      const patch = { draining: true, decommissioning: true, message: "is being decommissioned" };
      const goesOn = !isForgotten(host) && (await store.deckies.countOf(tx, host.name)).left > 0;
      return { changes: isForgotten(host) ? [] : changes, plan, patch, goesOn };
    },
    async finish(tx, host) {
      if (isForgotten(host)) {
        const ended = await forgetDeckies(tx, host.name, isAway, options);
        const waiting = await store.deckies.toRemoveFrom(tx, host.name);
        const why = isAway ? "forgotten while it was away" : "forgotten before its deckies were gone";
        await forgetWith(tx, host, why, store);
        await endHost(tx, host, why, options);
        return { kind: "forgotten", host, ended, waiting: waiting.map(({ id }) => id) };
      }
      await tearDownWith(tx, host, store);
      if ((await store.deckies.countOf(tx, host.name)).left > 0) return { kind: "going", host };
      await endHost(tx, host, "decommissioned", options);
      return { kind: "gone", host };
    },
  };
}

/** The host is none any more. What was still to be removed from it counts as removed. */
async function endHost(tx: Tx, host: Host, message: string, { store }: HostChangesOptions): Promise<void> {
  await store.hosts.update(tx, host.id, {
    decommissionedAt: new Date(),
    decommissioning: false,
    acceptedNumber: host.certificateNumber + 1,
    message,
  });
  await store.deckies.forgetHost(tx, host.name);
  await store.joinTokens.spend(tx, host.id);
  store.events.append(tx, hostEvent(host.name, "decommissioned", message));
}

/** Whatever lived there is forgotten, with what was still to be done about it. Returns the operations that ended with it. */
async function forgetDeckies(tx: Tx, name: string, isAway: boolean, { store }: HostChangesOptions): Promise<string[]> {
  const deckies = await store.deckies.ofHost(tx, name);
  const ids = deckies.map(({ id }) => id);
  const open = (await store.operations.openOfDeckies(tx, ids)).map(({ id }) => id);
  const message = `host ${name} was decommissioned ${isAway ? "while it was away" : "before its deckies were gone"}`;
  const error: OperationError = { reason: "HOST_UNREACHABLE", message, next: [], outputTail: [], undone: false };
  await store.operations.update(tx, open, { state: "failed", error, finishedAt: new Date() });
  const ended = await store.parents.endIn(tx, await store.operations.parentsOf(tx, open));
  store.events.append(
    tx,
    deckies.flatMap((decky) => stateEvent(decky, "gone", `forgotten with host ${name}`)),
  );
  await store.deckies.deleteAll(tx, ids);
  return [...open, ...ended];
}

/**
 * Ends host and operation together when nothing of the host is left; gives up when deckies stay that nobody is removing any more.
 */
async function finishDecommission(
  tx: Tx,
  id: string,
  options: HostChangesOptions,
): Promise<{ readonly gone: Host | undefined; readonly ids: readonly string[] } | undefined> {
  const { store } = options;
  const host = await store.hosts.lock(tx, id);
  if (host === undefined || !host.decommissioning || host.decommissionedAt !== null) return undefined;
  const open = (await store.operations.openOfHost(tx, host.name, "decommission_host")).map((operation) => operation.id);
  // One of which a part did not succeed has ended by that.
  const ended = await store.parents.endIn(tx, open);
  const ids = open.filter((operation) => !ended.includes(operation));
  const { left, staying } = await store.deckies.countOf(tx, host.name);
  const finishedAt = new Date();
  if (left === 0) {
    await endHost(tx, host, "decommissioned", options);
    await store.operations.update(tx, ids, { state: "succeeded", finishedAt });
    return { gone: host, ids: open };
  }
  const counts = await Promise.all(ids.map((parent) => store.operations.countParts(tx, parent)));
  if (staying === 0 || counts.some((count) => count.open > 0)) return { gone: undefined, ids: ended };
  const message = `decommissioning failed: ${staying} ${staying === 1 ? "decky is" : "deckies are"} still here`;
  await store.hosts.update(tx, host.id, { decommissioning: false, message });
  const error: OperationError = { reason: "APPLY_FAILED", message, next: [], outputTail: [], undone: false };
  await store.operations.update(tx, ids, { state: "failed", error, finishedAt });
  return { gone: undefined, ids: open };
}
