import { eventually } from "./eventually.ts";

/** Lets work pass, or holds it where it is until it is let go on. */
export interface Gate {
  /** The work of this key waits here while its gate is closed; an aborted signal lets it go. */
  readonly pass: (key: string, what?: unknown, signal?: AbortSignal) => Promise<undefined>;
  close(key: string): void;
  open(key: string): void;
  /** Resolves when something waits at this gate. */
  reached(key: string): Promise<void>;
}

export function createGate(): Gate {
  const closed = new Map<string, { readonly opened: Promise<void>; readonly open: () => void }>();
  const waiting = new Map<string, number>();
  const note = (key: string, by: number) => waiting.set(key, (waiting.get(key) ?? 0) + by);
  return {
    async pass(key, _what, signal) {
      const gate = closed.get(key);
      if (gate === undefined) return undefined;
      note(key, 1);
      const aborted = new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }));
      await Promise.race([gate.opened, aborted]);
      note(key, -1);
      return undefined;
    },
    close(key) {
      let open: () => void = () => undefined;
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      closed.set(key, { opened, open });
    },
    open(key) {
      closed.get(key)?.open();
      closed.delete(key);
    },
    reached: async (key) => void (await eventually(async () => (waiting.get(key) ?? 0) > 0)),
  };
}
