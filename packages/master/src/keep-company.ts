import type { Logger } from "@decnet/common/logging/logger";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { Changes } from "./changes/changes.ts";
import type { Convergence } from "./convergence/convergence.ts";
import type { Ground } from "./ground.ts";
import type { HostLeases } from "./links/host-leases.ts";
import type { HostRegistry } from "./links/host-registry.ts";

export interface CompanyOptions {
  readonly ground: Ground;
  readonly hosts: HostRegistry;
  readonly leases: HostLeases;
  readonly convergence: Convergence;
  readonly changes: Changes;
  /** A host is none any more: cuts whatever its certificates opened here. */
  readonly cutOff: (hostId: string) => void;
}

/** What was not heard of is found out after this. */
const lookMs = 10_000;

/**
 * What this master does because there are others: it says that it is there, hears what they say, does its part of what they were
 * asked for, and takes up what one of them left that is not there any more. Until the master stops.
 */
export async function keepCompany(options: CompanyOptions): Promise<void> {
  const { ground, hosts, leases, convergence, changes } = options;
  const { store, place, peers, stopping, listen, options: master } = ground;
  const { log } = master;
  const { signal } = stopping;
  const takeUp = async () => {
    await changes.batches.closeOrphans(peers.mayLive);
    convergence.parents.note(await store.parents.open());
    for (const name of hosts.names) for (const { id } of await store.deckies.unfinished(name)) convergence.converger.wake(id);
  };
  const failed = (error: unknown) => {
    if (!signal.aborted) log.warn("what other masters left was not taken up", { err: error });
  };
  let hearing: Promise<void> | undefined;
  const hear = () => {
    hearing ??= listen({ onWord: listenTo(options, log), onBegin: () => void catchUp() }, signal);
  };
  const catchUp = async () => {
    await peers.wantLeases();
    store.events.wake();
    await takeUp().catch(failed);
  };
  peers.onChange(() => {
    log.info("other masters of this database", { masters: peers.others.map(({ host }) => host) });
    hear();
    void catchUp();
    // Workers are told in answer.
    for (const name of hosts.names) hosts.connected(name)?.reportNow();
  });
  if (peers.others.length > 0) hear();
  const kept = place.keep(signal, {
    async onRenewed() {
      await peers.look();
      leases.tidy();
    },
    onLate() {
      // Somebody who is heard of may have them: their agents find out.
      if (peers.others.length === 0) return;
      for (const name of hosts.names) hosts.connected(name)?.close();
    },
  });
  const looking = repeatUntilAborted(lookMs, signal, async () => (peers.hostNames.length > 1 ? takeUp() : undefined), failed);
  const why = await kept;
  if (why !== undefined) {
    log.error("another master drives this host now; this one does nothing any more", { why: why.message });
    stopping.abort(why);
    master.onDisplaced?.(why);
  }
  await Promise.all([looking, hearing]);
}

/** What another master did concerns this one: see the migration that says it. */
function listenTo({ ground, hosts, convergence, cutOff }: CompanyOptions, log: Logger): (words: readonly string[]) => void {
  const { board, converger } = convergence;
  const { store, peers, stopping } = ground;
  const isHere = (host: string) => hosts.whereIs(host) === "here";
  return ([what = "", first = "", second = "", third = ""]) => {
    if (stopping.signal.aborted) return;
    switch (what) {
      case "work":
        if (!isHere(first)) return;
        if (second !== "") converger.wake(second);
        else
          void converger.wakeHost(first).catch((error: unknown) => log.warn("a host was not woken", { host: first, err: error }));
        return;
      case "cancel":
        if (!isHere(first)) return;
        converger.interrupt(second, third);
        converger.wake(second);
        hosts.wantResync(first);
        return;
      case "ended":
        return board.ended([{ id: first, record: undefined }]);
      case "events":
        return store.events.wake();
      case "lease":
        // An agent that came to another master has left its connection to this one, which may not know it yet.
        return void peers.wantLeases().then(() => {
          if (peers.holder(first) !== undefined) hosts.connected(first)?.close();
        });
      case "gone":
        hosts.connected(first)?.close();
        return cutOff(second);
      default:
        // Of a later version.
        return;
    }
  };
}
