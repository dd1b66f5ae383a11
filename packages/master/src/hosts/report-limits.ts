/** What one worker may report in the long run. More is refused for a while, or counted: no worker fills the database. */
export interface ReportLimits {
  /** Whether so many items of a host are taken now. */
  admits(hostId: string, items: number): boolean;
  /** Whether one more repair of a decky is recorded as an operation. */
  recordsRepair(deckyId: string): boolean;
}

export interface Allowance {
  readonly burst: number;
  readonly perSecond: number;
}

/** All deckies of a large host at once, again and again; then as many as a drift check of each second would find. */
const itemsOfHost: Allowance = { burst: 10_000, perSecond: 100 };
/** An honest agent repairs one decky twice a minute at last, and more often at first. */
const repairsOfDecky: Allowance = { burst: 30, perSecond: 1 / 10 };
/** Whoever was not heard of for so long has its whole allowance again, and is forgotten. */
const mostRemembered = 10_000;

export function createReportLimits(now: () => number = () => performance.now()): ReportLimits {
  const items = createAllowances(itemsOfHost, now);
  const repairs = createAllowances(repairsOfDecky, now);
  return { admits: items, recordsRepair: (deckyId) => repairs(deckyId, 1) };
}

function createAllowances({ burst, perSecond }: Allowance, now: () => number): (key: string, count: number) => boolean {
  const left = new Map<string, { amount: number; at: number }>();
  return (key, count) => {
    const at = now();
    const known = left.get(key);
    const amount = known === undefined ? burst : Math.min(burst, known.amount + ((at - known.at) / 1_000) * perSecond);
    // The oldest first, so that those that are heard of are kept.
    left.delete(key);
    const isAdmitted = amount >= count;
    left.set(key, { amount: isAdmitted ? amount - count : amount, at });
    for (const [oldest] of left) {
      if (left.size <= mostRemembered) break;
      left.delete(oldest);
    }
    return isAdmitted;
  };
}
