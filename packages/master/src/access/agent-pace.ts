import { createBuckets } from "@decnet/common/runtime/buckets";

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
const calls = { burst: 500, perSecond: 20 };
/** Who is refused so often, and calls all the same, does not listen. */
const patience = { burst: 200, perSecond: 1 };

export function createAgentPace(now?: () => number): AgentPace {
  const ofCalls = createBuckets(calls, now);
  const ofRefusals = createBuckets(patience, now);
  return {
    take(hostId) {
      if (ofCalls(hostId).take()) return "in";
      return ofRefusals(hostId).take() ? "refused" : "cut";
    },
  };
}
