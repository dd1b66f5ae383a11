import { createHash, randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { type ClaimStore, claimMs, type HeldBy, type HostClaim } from "./store/claims.ts";

export interface ClaimedHost {
  /** Says again and again that this master is there, until aborted. Resolves with what to say when another one took the host. */
  keep(signal: AbortSignal): Promise<AppError | undefined>;
  release(): Promise<void>;
}

const renewMs = 3_000;
const lookMs = 500;
const releaseMs = 1_000;

/**
 * Takes a host for this master: two that drive the same engine from one database would undo each other's work without end. The
 * next master of the same data folder takes over at once; another one waits for a holder that is not heard of any more, and is
 * refused while there is one that is. Errors: HOST_CLAIMED.
 */
export async function claimHost(
  store: ClaimStore,
  { host, dataDir, giveUp }: { readonly host: string; readonly dataDir: string; readonly giveUp: AbortSignal },
): Promise<ClaimedHost> {
  const { ino } = await stat(dataDir);
  const holder = createHash("sha256").update(`${hostname()} ${dataDir} ${ino}`).digest("hex").slice(0, 16);
  const place = `process ${process.pid} on ${hostname()} with the data folder ${dataDir}`;
  const claim: HostClaim = { host, holder, instance: randomUUID(), place };
  for (let before: HeldBy | undefined; ; ) {
    const other = await store.take(claim);
    if (other === undefined) break;
    // It was heard of meanwhile.
    if (before !== undefined && other.seenMsAgo < before.seenMsAgo) throw refusal(host, other);
    before = other;
    await delay(lookMs, undefined, { signal: giveUp });
  }
  return {
    async keep(signal) {
      for (;;) {
        await delay(renewMs, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) return undefined;
        // A database that is away is no reason: whoever comes needs it too.
        const other = await store.renew(claim).catch(() => undefined);
        if (other !== undefined && !signal.aborted) return refusal(host, other);
      }
    },
    release: () => Promise.race([store.release(claim).catch(() => undefined), delay(releaseMs, undefined, { ref: false })]),
  };
}

function refusal(host: string, { place, since, seenMsAgo }: HeldBy): AppError {
  const seen = `since ${new Date(since).toISOString()}, last heard of ${(seenMsAgo / 1_000).toFixed(1)} s ago`;
  return new AppError("HOST_CLAIMED", `the host ${host} of this database is driven by another master: ${place}, ${seen}`, {
    metadata: { host, seconds: String(claimMs / 1_000) },
  });
}
