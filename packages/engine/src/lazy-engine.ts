import { type Engine, type EngineOptions, openEngine } from "./engine.ts";

/** What opens an engine; a test or a bench has its own. */
export type OpenEngine = (options: EngineOptions) => Promise<Engine>;

/**
 * An engine that is opened when it is first needed: a daemon starts while its engine is away. One that could not be opened is
 * tried again by the next call, which throws ENGINE_UNAVAILABLE until then. Engine and compose are found wrong in the same way.
 */
export function createLazyEngine(
  options: EngineOptions,
  { open = openEngine, onOpened = () => undefined }: { open?: OpenEngine | undefined; onOpened?: (engine: Engine) => void } = {},
): Engine {
  let opening: Promise<Engine> | undefined;
  let there: Engine | undefined;
  const opened = (): Promise<Engine> => {
    opening ??= open(options).then(
      (engine) => {
        there = engine;
        onOpened(engine);
        return engine;
      },
      (error: unknown) => {
        opening = undefined;
        throw error;
      },
    );
    return opening;
  };
  return {
    get warnings() {
      return there?.warnings ?? [];
    },
    plan: async (...given) => (await opened()).plan(...given),
    apply: async (...given) => (await opened()).apply(...given),
    check: async (...given) => (await opened()).check(...given),
    async *logs(...given) {
      yield* (await opened()).logs(...given);
    },
    inspectLan: async (...given) => (await opened()).inspectLan(...given),
    hostSubnets: async (...given) => (await opened()).hostSubnets(...given),
    orphans: async (...given) => (await opened()).orphans(...given),
    removeOrphans: async (...given) => (await opened()).removeOrphans(...given),
    prepareImages: async (...given) => (await opened()).prepareImages(...given),
    pruneImages: async () => (await opened()).pruneImages(),
    ping: async () => (await opened()).ping(),
  };
}
