import { type Bucket, type BucketOptions, createBucket } from "../runtime/bucket.ts";

/** Calls without a credential, of one address and of all: one that is new on a connection shows his before he is known. */
const usual = { ofAddress: { burst: 200, perSecond: 100 }, ofAll: { burst: 1_000, perSecond: 300 } };
/** What an address used up is remembered for so long after its last call. */
const rememberedMs = 10_000;

/** Counts calls without a credential that is known, of each address and of all. */
export function createBareCalls(rates: { readonly ofAddress: BucketOptions; readonly ofAll: BucketOptions } = usual) {
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
