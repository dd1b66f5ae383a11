import { type Bucket, type BucketOptions, createBucket } from "../runtime/bucket.ts";

/** Calls without a credential, of one address and of all: one that is new on a connection shows his before he is known. */
const usual = { ofAddress: { burst: 200, perSecond: 100 }, ofAll: { burst: 1_000, perSecond: 300 } };
/** What an address used up is remembered for so long after its last call. */
const rememberedMs = 10_000;

/** Credentials after the first that was refused on a connection, of one address and of all. */
const guesses = { ofAddress: { burst: 20, perSecond: 10 }, ofAll: { burst: 100, perSecond: 30 } };

/** What strangers may do in a second. Probes on the master's own machine are asked whatever comes from elsewhere. */
export function createStrangersRates() {
  const ofPort = () => ({ bare: createBareCalls(usual), guess: createBareCalls(guesses) });
  const all = { plaintext: ofPort(), tls: ofPort() };
  return {
    take: (port: keyof typeof all, kind: "bare" | "guess", address: string, cost: number) => all[port][kind].take(address, cost),
    forget() {
      for (const { bare, guess } of Object.values(all)) for (const each of [bare, guess]) each.forget();
    },
  };
}

/** Counts calls without a credential that is known, of each address and of all. */
function createBareCalls(rates: { readonly ofAddress: BucketOptions; readonly ofAll: BucketOptions }) {
  const buckets = new Map<string, { readonly bucket: Bucket; usedAt: number }>();
  const ofAll = createBucket(rates.ofAll);
  return {
    take(address: string, cost: number): boolean {
      const known = buckets.get(address) ?? { bucket: createBucket(rates.ofAddress), usedAt: 0 };
      known.usedAt = performance.now();
      buckets.set(address, known);
      return known.bucket.take(cost) && ofAll.take(cost);
    },
    /** What was used up long ago. */
    forget(): void {
      const time = performance.now() - rememberedMs;
      for (const [address, { usedAt }] of buckets) if (usedAt < time) buckets.delete(address);
    },
  };
}
