import { type Bucket, type BucketOptions, createBucket } from "./bucket.ts";

const mostRemembered = 10_000;

/** A bucket for each key. Of very many, whichever was not asked for longest is forgotten, and full again. */
export function createBuckets(options: BucketOptions, now?: () => number): (key: string) => Bucket {
  const all = new Map<string, Bucket>();
  return (key) => {
    const bucket = all.get(key) ?? createBucket(options, now);
    // The one that was asked for last is the last.
    all.delete(key);
    all.set(key, bucket);
    for (const oldest of all.keys()) {
      if (all.size <= mostRemembered) break;
      all.delete(oldest);
    }
    return bucket;
  };
}
