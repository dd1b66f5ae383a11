import type { Catalog } from "@decnet/engine/catalog/types";
import type { ObservedContainer } from "@decnet/engine/observe/observed";
import type { Step } from "@decnet/engine/plan/plan";
import { createMemoryEngine, type EngineHooks, type MemoryEngine, type Refusal } from "./memory-engine.ts";

/** Steps of one decky; what is not named fits every step. The slug of a base is empty. */
export interface StepsOf {
  readonly decky: string;
  readonly verb?: Step["verb"];
  readonly slug?: string;
}

/** Something that waits until the test lets it go on. */
export interface Hold {
  /** Resolves when something waits. */
  readonly reached: Promise<void>;
  release(): void;
}

/** An engine in memory that does what a test says. Deckies are named without their scope: all are the fleet's. */
export interface ScriptedEngine {
  readonly engine: MemoryEngine;
  /** The next such step fails, or the next so many. */
  fail(steps: StepsOf, message: string, more?: { outputTail?: readonly string[]; times?: number }): void;
  /** The next such step waits; one that is aborted goes on by itself. */
  hold(steps: StepsOf): Hold;
  /** The next apply of the decky waits before it makes its plan. */
  holdApply(decky: string): Hold;
  /** The next such step throws, or the next so many. */
  throwAt(steps: StepsOf, error: Error, times?: number): void;
  /** Every call for the decky throws until it is undefined again. */
  breakFor(decky: string, error: Error | undefined): void;
  /** Every drift check throws until it is undefined again. */
  breakChecks(error: Error | undefined): void;
  /** Changes containers behind the master's back, by slug; undefined takes one away. */
  alter(decky: string, slug: string, change: Partial<ObservedContainer> | undefined): void;
  /**
   * Lets one drift check see the decky; resolves when all that follows from it was stored. No check sees a decky unless it
   * is told to.
   */
  look(decky: string): Promise<void>;
  /** From now on, every drift check sees the decky. */
  watch(decky: string): void;
  /** Nothing is held, fails or is watched any more. */
  reset(): void;
}

interface Rule extends StepsOf {
  times: number;
  readonly act: (signal: AbortSignal) => Promise<Refusal | undefined>;
}

/**
 * A look is true when the check began after it was asked for, with what was stored by then; and what follows from a check is
 * stored when the next one begins.
 */
const looked = 3;

export function createScriptedEngine(catalog: Catalog, instance: string): ScriptedEngine {
  let rules: Rule[] = [];
  const broken = new Map<string, Error>();
  const held = new Set<() => void>();
  const waiting = new Map<string, Hold & { readonly wait: (signal: AbortSignal) => Promise<void> }>();
  const watched = new Set<string>();
  const looks = new Set<{ readonly key: string; begun: number; readonly done: () => void }>();
  let brokenChecks: Error | undefined;
  const keyOf = (decky: string) => `fleet/${decky}`;
  const nameOf = (key: string) => key.slice(key.indexOf("/") + 1);

  const createHold = () => {
    let reach: () => void = () => undefined;
    let release: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    held.add(release);
    const wait = async (signal: AbortSignal) => {
      reach();
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      if (!signal.aborted) await Promise.race([released, aborted]);
    };
    return { reached, release, wait };
  };

  const add = (steps: StepsOf, times: number, act: Rule["act"]) => void rules.push({ ...steps, times, act });
  const throwIfBroken = (key: string) => {
    const error = broken.get(nameOf(key));
    if (error !== undefined) throw error;
  };

  const hooks: EngineHooks = {
    async beforePlan(key) {
      throwIfBroken(key);
    },
    async beforeApply(key, signal) {
      const hold = waiting.get(nameOf(key));
      waiting.delete(nameOf(key));
      await hold?.wait(signal);
      signal.throwIfAborted();
      throwIfBroken(key);
    },
    async beforeStep(key, step, signal) {
      throwIfBroken(key);
      const rule = rules.find(
        ({ decky, verb = step.verb, slug = step.service, times }) =>
          times > 0 && decky === nameOf(key) && verb === step.verb && slug === step.service,
      );
      if (rule === undefined) return undefined;
      rule.times -= 1;
      return rule.act(signal);
    },
    async beforeCheck() {
      for (const look of looks) {
        look.begun += 1;
        if (look.begun < looked) continue;
        looks.delete(look);
        look.done();
      }
      if (brokenChecks !== undefined) throw brokenChecks;
      const seen = new Set([...looks].filter(({ begun }) => begun === looked - 1).map(({ key }) => key));
      return (key) => watched.has(key) || seen.has(key);
    },
  };

  const engine = createMemoryEngine({ catalog, instance, hooks });
  return {
    engine,
    fail: (steps, message, { outputTail = [], times = 1 } = {}) => add(steps, times, async () => ({ message, outputTail })),
    hold(steps) {
      const { wait, ...hold } = createHold();
      add(steps, 1, async (signal) => {
        await wait(signal);
        return undefined;
      });
      return hold;
    },
    holdApply(decky) {
      const hold = createHold();
      waiting.set(decky, hold);
      return hold;
    },
    throwAt: (steps, error, times = 1) => add(steps, times, () => Promise.reject(error)),
    breakFor(decky, error) {
      if (error === undefined) broken.delete(decky);
      else broken.set(decky, error);
    },
    breakChecks(error) {
      brokenChecks = error;
    },
    alter: (decky, slug, change) =>
      engine.alter(keyOf(decky), (containers) =>
        containers.flatMap((container) =>
          container.service !== slug ? [container] : change === undefined ? [] : [{ ...container, ...change }],
        ),
      ),
    look: (decky) => new Promise((done) => void looks.add({ key: keyOf(decky), begun: 0, done })),
    watch: (decky) => void watched.add(keyOf(decky)),
    reset() {
      rules = [];
      broken.clear();
      waiting.clear();
      watched.clear();
      brokenChecks = undefined;
      for (const release of held) release();
      held.clear();
    },
  };
}
