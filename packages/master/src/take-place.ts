import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import type { ClaimStore, HeldBy, HostClaim } from "./store/claims.ts";
import { claimMs } from "./store/claims.ts";

/** The place of this master among those that share its database. */
export interface OwnPlace {
  /** Says again and again that this master is there. Resolves with what to say when another one took its host. */
  keep(signal: AbortSignal, round: Round): Promise<AppError | undefined>;
  /** Whether others take this master for gone: it begins nothing that they may be ending for it. */
  isLate(): boolean;
  /** Tells where workers and other masters reach this one from now on. */
  listens(addresses: readonly string[]): Promise<void>;
  release(): Promise<void>;
}

/** What is done in between. */
export interface Round {
  onRenewed(): Promise<unknown>;
  /** Others may take its hosts by now, and it cannot know. */
  onLate(): void;
}

const renewMs = 3_000;
const lookMs = 500;
const releaseMs = 1_000;

/**
 * Takes a place and its own host for this master: two that drive the same engine from one database would undo each other's work
 * without end. The next master of the same data folder takes over at once; another one waits for a holder that is not heard of
 * any more, and is refused while there is one that is. Errors: HOST_CLAIMED.
 */
export async function takePlace(
  store: ClaimStore,
  {
    host,
    instance,
    dataDir,
    giveUp,
  }: { readonly host: string; readonly instance: string; readonly dataDir: string; readonly giveUp: AbortSignal },
): Promise<OwnPlace> {
  const { ino } = await stat(dataDir);
  const holder = createHash("sha256").update(`${hostname()} ${dataDir} ${ino}`).digest("hex").slice(0, 16);
  const place = `process ${process.pid} on ${hostname()} with the data folder ${dataDir}`;
  let claim: HostClaim = { host, holder, instance, place };
  for (let before: HeldBy | undefined; ; ) {
    const other = await store.take(claim);
    if (other === undefined) break;
    // It was heard of meanwhile.
    if (before !== undefined && other.seenMsAgo < before.seenMsAgo) throw refusal(host, other);
    before = other;
    await delay(lookMs, undefined, { signal: giveUp });
  }
  let renewedAt = performance.now();
  const isLate = () => performance.now() - renewedAt > claimMs;
  return {
    isLate,
    async keep(signal, { onRenewed, onLate }) {
      for (;;) {
        await delay(renewMs, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) return undefined;
        const askedAt = performance.now();
        const other = await store.renew(claim).then(
          (held) => {
            renewedAt = askedAt;
            return held;
          },
          // A database that is away is no reason to stop: whoever comes needs it too.
          () => undefined,
        );
        if (other !== undefined && !signal.aborted) return refusal(host, other);
        if (isLate()) onLate();
        else await onRenewed().catch(() => undefined);
      }
    },
    async listens(addresses) {
      claim = { ...claim, addresses };
      const askedAt = performance.now();
      await store.renew(claim);
      renewedAt = askedAt;
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
