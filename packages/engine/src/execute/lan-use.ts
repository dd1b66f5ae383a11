import { createExclusive } from "@decnet/common/runtime/exclusive";

/** Keeps a network while it is needed: work that needs it, and its removal, exclude each other. */
export interface LanUse {
  /** Waits for a removal that is under way, and holds the next one off until the work is done. */
  during<T>(lan: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  /** Does nothing while the network is in use: the last decky to leave it removes it. */
  unlessUsed(lan: string, signal: AbortSignal, remove: () => Promise<void>): Promise<void>;
}

export function createLanUse(): LanUse {
  const gate = createExclusive(64);
  const users = new Map<string, number>();
  const count = (lan: string, more: number) => {
    const now = (users.get(lan) ?? 0) + more;
    if (now === 0) users.delete(lan);
    else users.set(lan, now);
  };
  return {
    async during(lan, signal, work) {
      await gate.run(lan, signal, async () => count(lan, 1));
      try {
        return await work();
      } finally {
        count(lan, -1);
      }
    },
    unlessUsed: (lan, signal, remove) => gate.run(lan, signal, async () => (users.has(lan) ? undefined : remove())),
  };
}
