import { type Bucket, createBucket } from "@decnet/common/runtime/bucket";

/** What becomes of one more call of a worker: it is let in, refused, or its connection is cut. */
export type AgentTurn = "in" | "refused" | "cut";

/** How often workers call, each by itself, over however many connections. */
export interface AgentPace {
  take(hostId: string): AgentTurn;
}

/**
 * An agent calls twice a minute when there is nothing to tell, and hundreds of times in a row when all of a large host is told
 * again; each of those waits for the one before.
 */
const calls = { burst: 500, perSecond: 50 };
/** Who is refused so often in a row does not listen. */
const mostRefused = 200;
/** Whoever did not call for longest has his whole allowance again. */
const mostRemembered = 10_000;

export function createAgentPace(now?: () => number): AgentPace {
  const hosts = new Map<string, { readonly bucket: Bucket; refused: number }>();
  return {
    take(hostId) {
      const known = hosts.get(hostId) ?? { bucket: createBucket(calls, now), refused: 0 };
      hosts.delete(hostId);
      hosts.set(hostId, known);
      for (const oldest of hosts.keys()) {
        if (hosts.size <= mostRemembered) break;
        hosts.delete(oldest);
      }
      if (known.bucket.take()) {
        known.refused = 0;
        return "in";
      }
      known.refused += 1;
      if (known.refused <= mostRefused) return "refused";
      known.refused = 0;
      return "cut";
    },
  };
}
