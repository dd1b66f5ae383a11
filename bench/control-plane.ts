import { fork } from "node:child_process";
import { once } from "node:events";
import { createTable, median, percentile } from "./support/figures.ts";
import { openKnownFleet, type Taken, type Turn } from "./support/known-fleet.ts";

/**
 * What the control plane alone costs: mutations through a real gRPC connection and a real PostgreSQL, with an engine that
 * only counts, at different numbers of deckies, one caller and sixteen. Beside it, the floor: one unary call plus one
 * commit. Each number of deckies has a process of its own, and the processes take turns, so that what else the machine does
 * falls on all of them alike. Usage: npm run bench:control-plane -- [DECKIES...]
 */
const given = process.argv
  .slice(2)
  .map(Number)
  .filter((size) => size > 0);
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

async function compare(): Promise<void> {
  const children = [];
  for (const size of sizes) {
    const child = fork(process.argv[1] ?? "", [String(size)], { serialization: "advanced" });
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
    children.push({ size, child, taken, next });
  }
  for (let turn = 0; turn < turns; turn += 1)
    for (const { child, taken, next } of children) {
      child.send(callers);
      taken.push(await next());
    }
  for (const { child } of children) child.disconnect();
  const row = createTable([
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
  const first = new Map<number, number>();
  for (const { size, taken } of children) {
    const floorMs = median(taken.flatMap((turn) => turn.unary)) + median(taken.flatMap((turn) => turn.commits));
    for (const [count, of] of [
      [1, taken.map((turn) => turn.one)],
      [callers, taken.map((turn) => turn.many)],
    ] as const) {
      const { times, perSecond, cpuMs } = sumUp(of);
      const p50 = median(times);
      if (!first.has(count)) first.set(count, p50);
      const figures = [cpuMs, p50, percentile(times, 0.99), floorMs, p50 / floorMs, p50 / (first.get(count) ?? p50)];
      row([String(size), String(count), perSecond.toFixed(0), ...figures.map((figure) => figure.toFixed(2))]);
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
