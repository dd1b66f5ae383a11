import { setTimeout as delay } from "node:timers/promises";
import type { Transport } from "@connectrpc/connect";
import type { Unreachable } from "./unreachable.ts";

/** How long a call may be without a sign of life. */
export interface Patience {
  /** After this the user is told who is waited for. */
  readonly tellMs: number;
  /** Between two looks at a master that takes long. */
  readonly lookAgainMs: number;
  readonly tell: () => void;
  /** Why nothing will come; undefined while the master lives. */
  readonly look: () => Promise<Unreachable | undefined>;
}

/**
 * Calls that take as long as a living master needs, and no longer: whoever waits is told so, and when nobody is there any
 * more, the call fails. Only the time up to the first message counts; after that the connection watches itself.
 */
export function patient(transport: Transport, patience: Patience): Transport {
  const guard = <T>(begin: (signal: AbortSignal) => Promise<T>, outer: AbortSignal | undefined): Promise<T> => {
    const call = new AbortController();
    const over = new AbortController();
    const signal = outer === undefined ? call.signal : AbortSignal.any([outer, call.signal]);
    const work = begin(signal).finally(() => over.abort());
    const gone = watch(patience, over.signal).then((why) => {
      if (why === undefined) return work;
      work.catch(() => undefined);
      call.abort(why);
      throw why;
    });
    return Promise.race([work, gone]);
  };
  return {
    unary: (method, signal, ...rest) => guard((inner) => transport.unary(method, inner, ...rest), signal),
    stream: (method, signal, ...rest) => guard((inner) => transport.stream(method, inner, ...rest), signal),
  };
}

/** Resolves with the reason when nobody is there any more, and with undefined when the call is over. */
async function watch({ tellMs, lookAgainMs, tell, look }: Patience, over: AbortSignal): Promise<Unreachable | undefined> {
  let pauseMs = tellMs;
  while (await passes(pauseMs, over)) {
    if (pauseMs === tellMs) tell();
    const why = await look();
    if (over.aborted) return undefined;
    if (why !== undefined) return why;
    pauseMs = lookAgainMs;
  }
  return undefined;
}

function passes(ms: number, over: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal: over, ref: false }).catch(() => false);
}
