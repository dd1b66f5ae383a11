import { setTimeout as delay } from "node:timers/promises";
import { patience } from "@decnet/common/runtime/patience";

/** What a master needs to work; a part that is not `ok` says what is wrong with it. */
export interface ReadinessState {
  /** Whether calls can be served: the database takes what they want stored. */
  readonly isReady: boolean;
  /** The engine of the master's own host: without it its deckies wait, and workers have their control plane all the same. */
  readonly parts: {
    readonly database: string;
    readonly engine: string;
    /** Whether deckies of this host are kept from its own ports; no reason to serve nobody. */
    readonly containment: string;
    /** The files of the keys, as the next start needs them: this master has them in memory. */
    readonly keys: string;
    /** Whether events come to the bus; missing when there is none. No reason to serve nobody: they wait in the database. */
    readonly bus?: string;
  };
}

/** The one verdict for `/readyz` and the health service. */
export interface Readiness {
  /** As it was at most a second ago. Concurrent callers share one look; never takes longer than a few seconds. */
  now(): Promise<ReadinessState>;
  /** By the last look. */
  isReady(): boolean;
  /** Looks again and again until aborted. */
  watch(signal: AbortSignal): Promise<void>;
}

export interface ReadinessOptions {
  readonly database: () => Promise<unknown>;
  readonly engine: { warnings(): readonly string[]; ping(): Promise<unknown> };
  readonly keys: () => Promise<unknown>;
  /** Undefined: there is no bus. Whether it is late. */
  readonly bus?: (() => Promise<boolean>) | undefined;
  readonly isStopping: () => boolean;
}

const freshMs = 1_000;
const patienceMs = 3_000;
const everyMs = 2_000;

export function createReadiness({ database, engine, keys, bus, isStopping }: ReadinessOptions): Readiness {
  let looking: Promise<ReadinessState> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let isLooking = false;
  let wasReady = true;
  const look = async (): Promise<ReadinessState> => {
    const [ofDatabase, ofEngine, ofKeys, ofBus] = await Promise.all([
      judge(database),
      judge(() => engine.ping()),
      judge(keys),
      bus === undefined ? undefined : judgeBus(bus),
    ]);
    wasReady = ofDatabase === "ok";
    const containment = containmentOf(engine.warnings(), ofEngine === "ok");
    return {
      isReady: wasReady && !isStopping(),
      parts: {
        database: ofDatabase,
        engine: ofEngine,
        containment,
        keys: ofKeys,
        ...(ofBus === undefined ? {} : { bus: ofBus }),
      },
    };
  };
  const now = (): Promise<ReadinessState> => {
    if (looking === undefined || (!isLooking && performance.now() - lookedAt > freshMs)) {
      lookedAt = performance.now();
      isLooking = true;
      looking = look().finally(() => (isLooking = false));
    }
    return looking;
  };
  return {
    now,
    isReady: () => wasReady && !isStopping(),
    async watch(signal) {
      while (!signal.aborted) {
        await now();
        await delay(everyMs, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

async function judge(ask: () => Promise<unknown>): Promise<string> {
  const waiting = new AbortController();
  const late = patience(patienceMs, waiting.signal).then(() => `no answer within ${patienceMs / 1_000} s`);
  const asked = ask().then(
    () => "ok",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  return Promise.race([asked, late]).finally(() => waiting.abort());
}

/** Without its cause, which anybody could read here. Nobody looks at it while the engine is away. */
function containmentOf(warnings: readonly string[], isEngineThere: boolean): string {
  if (warnings.some((warning) => warning.startsWith("not_contained: "))) return "not contained";
  return isEngineThere ? "ok" : "not known";
}

/** Without its cause, which anybody could read here. */
async function judgeBus(isLate: () => Promise<boolean>): Promise<string> {
  const said = await judge(async () => {
    if (await isLate()) throw new Error("late");
  });
  return said === "ok" || said === "late" ? said : "not known";
}
