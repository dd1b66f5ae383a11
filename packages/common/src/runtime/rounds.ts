export interface RoundsOptions<Item, Result> {
  /** Items of one round, at most. */
  readonly most: number;
  /** Items with one key never share a round: the later one waits for the next. */
  readonly keyOf?: (item: Item) => string;
  /** Serves a round; results in the order of the items. */
  readonly serve: (items: readonly Item[]) => Promise<readonly Result[]>;
  /**
   * Whether the calls of a round that failed may be served again; undefined: always. Otherwise all of them fail as the round did.
   */
  readonly mayRepeat?: (error: unknown) => boolean;
}

/**
 * Gathers calls into rounds: while one is under way, later calls wait and share the next. A round never begins before the calls
 * that it serves, so that each finds what was there when it was made. A round that fails is served again call by call: one call's
 * error is not another's.
 */
export function createRounds<Item, Result>({
  most,
  keyOf,
  serve,
  mayRepeat = () => true,
}: RoundsOptions<Item, Result>): (item: Item) => Promise<Result> {
  interface Waiting {
    readonly item: Item;
    readonly resolve: (result: Result) => void;
    readonly reject: (error: unknown) => void;
  }
  let waiting: Waiting[] = [];
  let isServing = false;

  const takeRound = (): Waiting[] => {
    const round: Waiting[] = [];
    const later: Waiting[] = [];
    const keys = new Set<string>();
    for (const call of waiting) {
      const key = keyOf?.(call.item);
      if (round.length >= most || (key !== undefined && keys.has(key))) later.push(call);
      else round.push(call);
      if (key !== undefined) keys.add(key);
    }
    waiting = later;
    return round;
  };

  const serveAlone = async ({ item, resolve, reject }: Waiting): Promise<void> => {
    try {
      resolve((await serve([item]))[0] as Result);
    } catch (error) {
      reject(error);
    }
  };

  const serveRound = async (round: readonly Waiting[]): Promise<void> => {
    const [only] = round;
    if (only !== undefined && round.length === 1) return serveAlone(only);
    let results: readonly Result[];
    try {
      results = await serve(round.map(({ item }) => item));
    } catch (error) {
      if (mayRepeat(error)) for (const call of round) await serveAlone(call);
      else for (const { reject } of round) reject(error);
      return;
    }
    for (const [at, { resolve }] of round.entries()) resolve(results[at] as Result);
  };

  const serveAll = async (): Promise<void> => {
    isServing = true;
    try {
      while (waiting.length > 0) await serveRound(takeRound());
    } finally {
      isServing = false;
    }
  };

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!isServing) void serveAll();
    });
}
