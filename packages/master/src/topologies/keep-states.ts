import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import { nextState } from "../decide/topology/next-state.ts";
import type { Topology } from "../model/topology.ts";
import type { Store } from "../store/store.ts";
import type { TopologyStanding } from "../store/topologies.ts";

/** Keeps what is stored of a topology's state true: it follows from its deckies and from the operations about the whole of it. */
export interface TopologyStates {
  /** Looks at one topology now. */
  settle(id: string): Promise<void>;
  /** Looks at all of them again and again, until the master stops. */
  run(): Promise<void>;
}

const movingMs = 500;
const restingMs = 5_000;

export function createTopologyStates(
  store: Pick<Store, "topologies" | "transaction" | "events">,
  log: Logger,
  stopping: AbortSignal,
): TopologyStates {
  const settleOne = async (standing: TopologyStanding): Promise<void> => {
    const now = nextState(factsOf(standing));
    if (now.state === standing.topology.state && now.reason === standing.topology.reason) return;
    await store.transaction(async (tx) => {
      const topology = await store.topologies.lock(tx, standing.topology.id);
      // Somebody else may have taken it on meanwhile: what they found is newer.
      if (topology.state !== standing.topology.state) return;
      if (now.state === topology.state) await store.topologies.explain(tx, topology, now.reason);
      else await store.topologies.step(tx, topology, now.state, now.reason);
    });
    store.events.wake();
    log.info("topology changed its state", { topology: standing.topology.name, state: now.state, reason: now.reason });
  };
  const settleAll = async (): Promise<boolean> => {
    const standings = await store.topologies.standings();
    for (const standing of standings) await settleOne(standing);
    return standings.some(({ topology }) => isMoving(topology));
  };
  return {
    async settle(id) {
      for (const standing of await store.topologies.standings(id)) await settleOne(standing);
    },
    async run() {
      while (!stopping.aborted) {
        const moves = await settleAll().catch((error: unknown) => {
          if (!stopping.aborted) log.warn("topologies were not looked at", { err: error });
          return false;
        });
        await delay(moves ? movingMs : restingMs, undefined, { signal: stopping }).catch(() => undefined);
      }
    },
  };
}

/** The state as it is now, whether or not it was stored already. */
export function stateNow(standing: TopologyStanding): Pick<Topology, "state" | "reason"> {
  return nextState(factsOf(standing));
}

function factsOf({ topology, deckies, lost, isBusy, failure }: TopologyStanding) {
  return {
    state: topology.state,
    reason: topology.state === "deploying" && failure !== "" ? failure : topology.reason,
    designed: topology.design.deckies.map(({ name }) => name),
    deckies,
    lost,
    isBusy,
  };
}

function isMoving({ state }: Topology): boolean {
  return state === "deploying" || state === "tearing_down";
}
