import { fork } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createTable, median, percentile } from "./support/figures.ts";
import { openKnownFleet, type Taken, type Turn } from "./support/known-fleet.ts";

/**
 * What the control plane alone costs: mutations through a real gRPC connection and a real PostgreSQL, with an engine that
 * only counts, at different numbers of deckies, one caller and sixteen. Beside it, the floor: one unary call plus one
 * commit. Each number of deckies has a process of its own, and the processes take turns, so that what else the machine does
 * falls on all of them alike. With another checkout, its master takes turns too: the figures of before, in one run.
 * Usage: npm run bench:control-plane -- [--beside CHECKOUT] [DECKIES...]
 */
const { values: options, positionals } = parseArgs({ options: { beside: { type: "string" } }, allowPositionals: true });
const given = positionals.map(Number).filter((size) => size > 0);
const sizes = given.length > 0 ? given : [10, 10_000];
/** No more than there are deckies: changes of one decky wait for each other. */
const callers = Math.min(16, ...sizes);
const turns = 10;
const calls = 60;

if (process.send === undefined) await compare();
else await serve(sizes[0] ?? 1);

/** The process of one size: takes a turn for each message, ends when it is let go. */
async function serve(size: number): Promise<void> {
  const fleet = await openKnownFleet(size);
  process.stderr.write(`${size} deckies known after ${(fleet.deployMs / 1_000).toFixed(1)} s\n`);
  const again = [await fleet.applySame(), await fleet.applySame(), await fleet.applySame()].map((ms) => ms.toFixed(0));
  process.stderr.write(`${size} deckies: the same fleet again in ${again.join(", ")} ms\n`);
  const tell = (turn: Turn) => process.send?.(turn);
  process.on("message", (count: number) => void fleet.takeTurn(calls, count).then(tell));
  // An interrupt ends the parent: that lets go of this process, which then cleans up.
  process.on("SIGINT", () => undefined);
  const letGo = once(process, "disconnect");
  tell(await fleet.takeTurn(calls, 1));
  await letGo;
  await fleet.close();
  process.exit(0);
}

interface Contestant {
  readonly of: string;
  readonly size: number;
  readonly checkout: string;
}

async function compare(): Promise<void> {
  const children = [];
  const here = fileURLToPath(new URL("..", import.meta.url));
  const contestants: Contestant[] = sizes.flatMap((size) => [
    { of: "this", size, checkout: here },
    ...(options.beside === undefined ? [] : [{ of: "beside", size, checkout: resolve(options.beside) }]),
  ]);
  for (const { of, size, checkout } of contestants) {
    const program = join(checkout, "bench/control-plane.ts");
    const child = fork(program, [String(size)], { serialization: "advanced", cwd: checkout });
    const taken: Turn[] = [];
    const next = async (): Promise<Turn> => {
      const waiting = new AbortController();
      const ended = once(child, "exit", waiting).then(() => [undefined]);
      const [turn] = await Promise.race([once(child, "message", waiting), ended]).finally(() => {
        ended.catch(() => undefined);
        waiting.abort();
      });
      if (turn === undefined) throw new Error(`the process with ${size} deckies ended`);
      return turn;
    };
    // The first turn only warms up.
    await next();
    children.push({ of, size, child, taken, next });
  }
  for (let turn = 0; turn < turns; turn += 1)
    for (const { child, taken, next } of children) {
      child.send(callers);
      taken.push(await next());
    }
  for (const { child } of children) child.disconnect();
  const row = createTable([
    "checkout",
    "deckies",
    "callers",
    "mutations/s",
    "cpu ms",
    "p50 ms",
    "p99 ms",
    "floor ms",
    "p50/floor",
    "p50/first",
  ]);
  const first = new Map<string, number>();
  for (const { of: checkout, size, taken } of children) {
    const floorMs = median(taken.flatMap((turn) => turn.unary)) + median(taken.flatMap((turn) => turn.commits));
    for (const [count, of] of [
      [1, taken.map((turn) => turn.one)],
      [callers, taken.map((turn) => turn.many)],
    ] as const) {
      const { times, perSecond, cpuMs } = sumUp(of);
      const p50 = median(times);
      const key = `${checkout} ${count}`;
      if (!first.has(key)) first.set(key, p50);
      const figures = [cpuMs, p50, percentile(times, 0.99), floorMs, p50 / floorMs, p50 / (first.get(key) ?? p50)];
      row([checkout, String(size), String(count), perSecond.toFixed(0), ...figures.map((figure) => figure.toFixed(2))]);
    }
  }
  await Promise.all(children.filter(({ child }) => child.exitCode === null).map(({ child }) => once(child, "exit")));
}

function sumUp(taken: readonly Taken[]): { times: number[]; perSecond: number; cpuMs: number } {
  const times = taken.flatMap((each) => each.times);
  const sum = (of: (each: Taken) => number) => taken.reduce((total, each) => total + of(each), 0);
  return {
    times,
    perSecond: (times.length * 1_000) / sum((each) => each.tookMs),
    cpuMs: sum((each) => each.cpuMs) / times.length,
  };
}
