export interface TallyOptions<Entry> {
  /** Stores an entry and returns the id that more of its kind are added under. Never fails. */
  readonly store: (entry: Entry) => Promise<string>;
  /** So many more of the same came since. Never fails. */
  readonly add: (id: string, times: number) => Promise<void>;
  /** What is said of those that no source of their own is kept for. */
  readonly pooled: (entry: Entry) => Entry;
  /** For how long the same is counted instead of stored. */
  readonly windowMs: number;
  /** So many sources have entries of their own within a window; all others share one for each kind. */
  readonly mostSources: number;
  /** So many entries of one source are stored one by one before any is counted. */
  readonly free: number;
}

/**
 * Keeps what anyone can cause again and again: the first of a kind from a source is stored, the others are counted. How much is
 * stored depends on how many sources there are, and not on how often they come; of those, only so many are told apart. A kind
 * must not hold words of the caller's choice.
 */
export interface Tally<Entry> {
  note(source: string, kind: string, entry: Entry): Promise<void>;
  /** Stores what was counted so far. */
  flush(): Promise<void>;
}

interface Kept {
  readonly id: Promise<string>;
  times: number;
}

interface Source {
  readonly until: number;
  stored: number;
  readonly kinds: Map<string, Kept>;
}

const flushMs = 30_000;
/** Beyond them a source's kinds share one: there are not so many by nature. */
const mostKinds = 100;
const others = "";

export function createTally<Entry>(options: TallyOptions<Entry>): Tally<Entry> {
  const { store, add, pooled, windowMs, mostSources, free } = options;
  const sources = new Map<string, Source>();
  let isScheduled = false;

  const flush = async (): Promise<void> => {
    const now = Date.now();
    const counted = [...sources.values()].flatMap(({ kinds }) => [...kinds.values()].filter(({ times }) => times > 0));
    for (const [name, source] of sources) if (source.until <= now) sources.delete(name);
    for (const kept of counted) {
      const { times } = kept;
      kept.times = 0;
      await add(await kept.id, times);
    }
  };
  const tick = () => {
    isScheduled = false;
    void flush().then(() => {
      if (sources.size > 0) schedule();
    });
  };
  const schedule = () => {
    if (!isScheduled) setTimeout(tick, flushMs).unref();
    isScheduled = true;
  };
  const sourceOf = (name: string): Source => {
    const known = sources.get(name);
    if (known !== undefined && known.until > Date.now()) return known;
    const made: Source = { until: Date.now() + windowMs, stored: 0, kinds: new Map() };
    // What an older window counted is not lost.
    if (known !== undefined) for (const [kind, kept] of known.kinds) if (kept.times > 0) made.kinds.set(`before ${kind}`, kept);
    sources.set(name, made);
    return made;
  };

  return {
    flush,
    async note(name, kind, entry) {
      schedule();
      const isOwn = sources.has(name) || sources.size < mostSources;
      const source = sourceOf(isOwn ? name : others);
      const key = source.kinds.size < mostKinds ? kind : others;
      const kept = source.kinds.get(key);
      if (kept !== undefined && source.stored >= free) {
        kept.times += 1;
        return;
      }
      source.stored += 1;
      const id = store(isOwn ? entry : pooled(entry));
      source.kinds.set(key, { id, times: 0 });
      await id;
    },
  };
}

/** The network that an address belongs to, as far as one machine alone can choose from it: an IPv6 address counts as its /64. */
export function sourceOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]?.split("::") ?? [];
  const groups = head.split(":").filter((group) => group !== "");
  const filled = tail === undefined ? groups : [...groups, ...Array.from({ length: 8 }, () => "0")];
  return `${filled.slice(0, 4).join(":")}::/64`;
}
