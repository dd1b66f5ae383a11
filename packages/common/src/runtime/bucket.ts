/** So much at once, and so much in each second: what is not taken fills it again. */
export interface Bucket {
  /** False, and nothing is taken, when there is not so much left. */
  take(cost?: number): boolean;
}

export interface BucketOptions {
  readonly burst: number;
  readonly perSecond: number;
}

export function createBucket({ burst, perSecond }: BucketOptions, now: () => number = () => performance.now()): Bucket {
  let left = burst;
  let at = now();
  return {
    take(cost = 1) {
      const time = now();
      left = Math.min(burst, left + ((time - at) * perSecond) / 1_000);
      at = time;
      if (left < cost) return false;
      left -= cost;
      return true;
    },
  };
}
