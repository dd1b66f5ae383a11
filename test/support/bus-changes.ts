import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { eventually } from "./eventually.ts";
import type { KillableMaster } from "./killable-master.ts";

/** Callers that put a service on a decky each, and take it off again, whatever happens to the master meanwhile. */
export interface BusChanges {
  /** How many have been acknowledged. */
  readonly acknowledged: number;
  /** What a caller heard that is no accident's. */
  readonly refusals: readonly string[];
  /** Deploys the callers' deckies. */
  deploy(): Promise<void>;
  /** Makes all of the changes. */
  make(): Promise<void>;
  /** Resolves when this share of the changes was made. */
  after(share: number): Promise<void>;
}

const callers = 8;
const callMs = 120_000;
const allMs = 1_800_000;
const passing = new Set(["STORAGE_UNAVAILABLE", "SHUTTING_DOWN", "WAIT_ENDED", "HOST_UNREACHABLE"]);
const nameOf = (at: number) => `bus-${at + 1}`;

/** `count` is a multiple of the number of callers, which is eight. */
export function createBusChanges(master: () => KillableMaster, count: number): BusChanges {
  const refusals: string[] = [];
  let acknowledged = 0;

  /** Asks again with the same id until there is an answer. */
  const ask = async (name: string, isThere: boolean): Promise<void> => {
    const request = { decky: { name }, service: "redis", options: { requestId: randomUUID() } };
    for (const deadline = Date.now() + callMs; Date.now() < deadline; await delay(50)) {
      const { mutations } = master().clients;
      try {
        await (isThere ? mutations.removeService(request) : mutations.addService(request));
        acknowledged += 1;
        return;
      } catch (error) {
        const { reason, message } = fromConnectError(error);
        if (passing.has(reason) || isCutOff(error)) continue;
        refusals.push(`${name}: ${reason} ${message}`);
        return;
      }
    }
    refusals.push(`${name}: no answer`);
  };
  const call = async (at: number): Promise<void> => {
    for (let turn = 0; turn < count / callers; turn += 1) await ask(nameOf(at), turn % 2 === 1);
  };

  return {
    get acknowledged() {
      return acknowledged;
    },
    refusals,
    async deploy() {
      const deckies = Array.from({ length: callers }, (_, at) => ({ name: nameOf(at), services: [{ slug: "http" }] }));
      await master().clients.fleet.applyFleet({ fleet: { lan: { name: "lan", subnet: "10.77.0.0/24" }, deckies } });
    },
    async make() {
      await Promise.all(Array.from({ length: callers }, (_, at) => call(at)));
    },
    async after(share) {
      await eventually(async () => acknowledged >= share * count || refusals.length > 0, allMs);
    },
  };
}

/** The connection went away under a call: it is not known what became of it. */
function isCutOff(error: unknown): boolean {
  return /ECONNRE|socket hang up|stream closed|Premature close|session|http\/2|aborted|read ETIMEDOUT/i.test(String(error));
}
