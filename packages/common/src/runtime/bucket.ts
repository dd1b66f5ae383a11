/** So much at once, and so much in each second: what is not taken fills it again. */
export interface Bucket {
  /** False, and nothing is taken, when there is not so much left. */
  take(cost?: number): boolean;
  /** Takes so much whether it is there or not: what is missing has to come in again first. */
  charge(cost: number): void;
}

export interface BucketOptions {
  readonly burst: number;
  readonly perSecond: number;
}

export function createBucket({ burst, perSecond }: BucketOptions, now: () => number = () => performance.now()): Bucket {
  let left = burst;
  let at = now();
  const refill = () => {
    const time = now();
    left = Math.min(burst, left + ((time - at) * perSecond) / 1_000);
    at = time;
  };
  return {
    take(cost = 1) {
      refill();
      if (left < cost) return false;
      left -= cost;
      return true;
    },
    charge(cost) {
      refill();
      left = Math.max(-burst, left - cost);
    },
  };
}
