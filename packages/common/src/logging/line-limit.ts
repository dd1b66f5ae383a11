import { type Bucket, createBucket } from "../runtime/bucket.ts";

/** Of each that lines are about; what they say may differ every time. */
const lines = { burst: 100, perSecond: 1 };
const mostRemembered = 1_000;

/**
 * How many lines may be written about somebody who can make as many as he likes. What is returned takes a line about `whose`: it
 * is how many were left out since the last one, or undefined when this one is to be left out, too.
 */
export function createLineLimit(): (whose: string) => number | undefined {
  const known = new Map<string, { readonly bucket: Bucket; unsaid: number }>();
  return (whose) => {
    const entry = known.get(whose) ?? { bucket: createBucket(lines), unsaid: 0 };
    // The one that was heard of last is the last.
    known.delete(whose);
    known.set(whose, entry);
    for (const oldest of known.keys()) {
      if (known.size <= mostRemembered) break;
      known.delete(oldest);
    }
    if (!entry.bucket.take()) {
      entry.unsaid += 1;
      return undefined;
    }
    const { unsaid } = entry;
    entry.unsaid = 0;
    return unsaid;
  };
}
