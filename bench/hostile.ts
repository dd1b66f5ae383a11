import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { attacks, type Target } from "../test/support/attacks.ts";
import { callAsOperator, readMetric, startAttacks } from "../test/support/under-attack.ts";
import { createTable } from "./support/figures.ts";
import { memoryMb } from "./support/process-figures.ts";
import { type Program, startProgram } from "./support/programs.ts";

/**
 * What hostile callers cost a master and its operators: memory before, while and after each attack, the longest and the usual
 * delay of the master's event loop, and how long operators on the master's own machine wait. The master is a process of its own
 * with a PostgreSQL of its own; so is each attacker. An attack is one more entry of `../test/support/attacks.ts`.
 * Usage: npm run bench:hostile -- [--seconds 10] [--after 60] [NAME...]
 */
const { values: options, positionals } = parseArgs({
  options: { seconds: { type: "string", default: "10" }, after: { type: "string", default: "60" } },
  allowPositionals: true,
});
const chosen = attacks.filter(({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)));
const roundOfCalls = 40;

const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await chmod(dataDir, 0o711);
const { master, target } = await startMaster();
try {
  const token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
  await callAsOperator(target, token, 5 * roundOfCalls);
  const row = createTable([
    "attack                        ",
    "MB before",
    "while",
    "after",
    "loop p99 ms",
    "loop max ms",
    "p50 before",
    "while",
    "p99 before",
    "while",
    "failed",
  ]);
  for (const attack of chosen) {
    const memory = [await memoryMb(master.pid)];
    const before = await callAsOperator(target, token, 2 * roundOfCalls);
    // Each look begins the master's figures of its loop anew.
    await loopDelay();
    const running = await startAttacks([attack], target);
    const waits = await callFor(Number(options.seconds) * 1_000, token);
    memory.push(await memoryMb(master.pid));
    const loop = await loopDelay();
    await running.end();
    await delay(Number(options.after) * 1_000);
    memory.push(await memoryMb(master.pid));
    const worst = (pick: (each: (typeof waits)[number]) => number) => Math.max(...waits.map(pick));
    row([
      attack.name,
      ...memory.map((megabytes) => megabytes.toFixed(0)),
      ...[loop.p99, loop.max, before.p50, worst(({ p50 }) => p50), before.p99, worst(({ p99 }) => p99)].map((ms) =>
        ms.toFixed(1),
      ),
      String(waits.reduce((sum, { failures }) => sum + failures.length, 0)),
    ]);
  }
} finally {
  await master.end("SIGTERM");
  await rm(dataDir, { recursive: true, force: true });
}

async function startMaster(): Promise<{ master: Program; target: Target }> {
  let started: (target: Target) => void = () => undefined;
  const target = new Promise<Target>((resolve) => (started = resolve));
  const master = startProgram(
    "packages/master/src/main.ts",
    [],
    { DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0" },
    {
      from: "stderr",
      onLine(line) {
        if (!line.includes('"master started"')) return;
        const { port, tlsPort } = JSON.parse(line) as Target;
        started({ port, tlsPort });
      },
    },
  );
  return { master, target: await target };
}

/** Rounds of calls until the time is over, one at least. */
async function callFor(ms: number, token: string): Promise<Awaited<ReturnType<typeof callAsOperator>>[]> {
  const rounds = [];
  const end = Date.now() + ms;
  do rounds.push(await callAsOperator(target, token, roundOfCalls));
  while (Date.now() < end);
  return rounds;
}

async function loopDelay(): Promise<{ p99: number; max: number }> {
  const read = async (name: string) => (await readMetric(target, `nodejs_eventloop_lag_${name}_seconds`)) * 1_000;
  const p99 = await read("p99");
  return { p99, max: await read("max") };
}
