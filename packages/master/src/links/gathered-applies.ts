import { toBinary } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import {
  type AgentService,
  type ApplyDeckiesResponse,
  type DeckySpec,
  DeckySpecSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import { deckyKey } from "@decnet/engine/spec";
import { type PresentTarget, toSpecMessage } from "@decnet/engine/wire/decky-spec";

/** How one decky is applied that shares a call with others: told what concerns it, until its outcome. */
export interface SharedApply {
  readonly target: PresentTarget;
  /** Called in order; a call is not read further before what it returns has settled. */
  readonly onItem: (item: ApplyDeckiesResponse["item"]) => Promise<void> | void;
  /** Aborted: it is not waited for any longer. The call goes on for the others. */
  readonly signal: AbortSignal;
}

/** `failed`: by the call's error, whomever of those in it that was about. */
export type SharedEnd =
  | { readonly kind: "told" | "untold" }
  | { readonly kind: "failed"; readonly error: unknown; readonly wasAlone: boolean };

/** In one call. What is larger than that travels by itself, so that no request comes near the limit of an agent. */
const mostTogether = 16;
const mostBytes = 256 << 10;
/** Of a decky that is over, or was never asked about: a worker that goes on talking to nobody is cut off. */
const mostUnheard = 10_000;

interface Waiting extends SharedApply {
  readonly key: string;
  readonly message: DeckySpec;
  readonly bytes: number;
  readonly resolve: (end: SharedEnd) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Applies of one host that begin in the same turn of the loop share one call: a stream of its own for each of thousands of
 * deckies costs more than all that is said on it.
 */
export function createGatheredApplies(agent: Pick<Client<typeof AgentService>, "applyDeckies">) {
  let waiting: Waiting[] = [];

  const flush = (): void => {
    const all = waiting;
    waiting = [];
    for (const batch of batchesOf(all)) void run(batch);
  };

  const run = async (batch: readonly Waiting[]): Promise<void> => {
    const open = new Map(batch.map((each) => [each.key, each]));
    const call = new AbortController();
    const leave = (each: Waiting) => {
      if (!open.delete(each.key)) return;
      each.reject(each.signal.reason);
      if (open.size === 0) call.abort(each.signal.reason);
    };
    for (const each of batch) {
      each.signal.addEventListener("abort", () => leave(each), { once: true });
      if (each.signal.aborted) leave(each);
    }
    if (open.size === 0) return;
    // Of a single decky everything is about it, whatever a worker calls it.
    const only = batch.length === 1 ? batch[0]?.key : undefined;
    const options: CallOptions = { signal: call.signal };
    let unheard = 0;
    /** False: whatever else is said, nobody listens. */
    const hear = async ({ decky, item }: ApplyDeckiesResponse): Promise<boolean> => {
      const each = open.get(only ?? keyOf(decky));
      if (each === undefined) {
        unheard += 1;
        return unheard <= mostUnheard;
      }
      try {
        await each.onItem(item);
      } catch (error) {
        if (open.delete(each.key)) each.reject(error);
        return open.size > 0;
      }
      if (item.case === "outcome" && open.delete(each.key)) each.resolve({ kind: "told" });
      return true;
    };
    const hearAll = async (response: ApplyDeckiesResponse): Promise<boolean> => {
      // What those in it hold themselves nobody hears.
      for (const each of [response, ...response.more]) if (!(await hear(each))) return false;
      return true;
    };
    try {
      const deckies = batch.filter(({ key }) => open.has(key)).map(({ message }) => message);
      for await (const response of agent.applyDeckies({ deckies, gathered: true }, options)) {
        if (await hearAll(response)) continue;
        call.abort();
        break;
      }
      for (const each of open.values()) each.resolve({ kind: "untold" });
    } catch (error) {
      for (const each of open.values()) each.resolve({ kind: "failed", error, wasAlone: batch.length === 1 });
    }
  };

  return {
    /** Rejects with the signal's reason, or with what `onItem` threw. */
    apply(shared: SharedApply): Promise<SharedEnd> {
      const message = toSpecMessage(shared.target);
      const { signal, target } = shared;
      signal.throwIfAborted();
      return new Promise((resolve, reject) => {
        if (waiting.length === 0) setImmediate(flush);
        const bytes = toBinary(DeckySpecSchema, message).length;
        waiting.push({ ...shared, key: deckyKey(target.spec), message, bytes, resolve, reject });
      });
    },
  };
}

/** As a worker names it: of one that is not in the call nobody hears. */
function keyOf(decky: ApplyDeckiesResponse["decky"]): string {
  return deckyKey({ scope: decky?.topologyId || "fleet", name: decky?.name ?? "" });
}

/** In the order in which they came; never the same decky twice in one. */
function batchesOf(all: readonly Waiting[]): Waiting[][] {
  const batches: Waiting[][] = [];
  let bytes = 0;
  for (const each of all) {
    const last = batches.at(-1);
    bytes += each.bytes;
    const fits =
      last !== undefined && last.length < mostTogether && bytes <= mostBytes && !last.some(({ key }) => key === each.key);
    if (fits) last.push(each);
    else {
      batches.push([each]);
      bytes = each.bytes;
    }
  }
  return batches;
}
