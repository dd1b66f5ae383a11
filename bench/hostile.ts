import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { attacks, type Target } from "../test/support/attacks.ts";
import { callAsOperator, readMetrics, startAttacks } from "../test/support/under-attack.ts";
import { createTable, median, percentile } from "./support/figures.ts";
import { cpuSeconds, memoryMb } from "./support/process-figures.ts";
import { type Program, startProgram } from "./support/programs.ts";

/**
 * What hostile callers cost a master and its operators: memory before, while and after each attack, the master's processor time,
 * the delay of its event loop, and how long operators on the master's own machine wait. The master is a process of its own with a
 * PostgreSQL of its own; so is each attacker, who gets hardly more than what is left of the processors: his own are elsewhere.
 * An attack is one more entry of `../test/support/attacks.ts`.
 * Usage: npm run bench:hostile -- [--seconds 10] [--after 60] [--rounds 1] [NAME...]
 */
const { values: options, positionals } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    after: { type: "string", default: "60" },
    rounds: { type: "string", default: "1" },
  },
  allowPositionals: true,
});
const chosen = attacks.filter(({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)));
const roundOfCalls = 40;
/** An operator who never rests takes a whole processor of the master by himself. */
const restMs = 10;
const columns = [
  "MB before",
  "while",
  "after",
  "master cpu % before",
  "while",
  "attacker cpu %",
  "loop p99 ms before",
  "while",
  "loop max ms before",
  "while",
  "p50 before",
  "while",
  "p99 before",
  "while",
  "failed",
];

const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await chmod(dataDir, 0o711);
const { master, target } = await startMaster();
try {
  const token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
  await callAsOperator(target, token, 5 * roundOfCalls);
  const row = createTable(["attack                        ", ...columns]);
  for (const attack of chosen) {
    const rounds: number[][] = [];
    for (let round = 0; round < Number(options.rounds); round += 1) rounds.push(await measure(attack, token));
    // A machine that does other work, too, is late once: the usual round says what the attack costs.
    row([attack.name, ...columns.map((_, at) => median(rounds.map((figures) => figures[at] ?? Number.NaN)).toFixed(1))]);
  }
} finally {
  await master.end("SIGTERM");
  await rm(dataDir, { recursive: true, force: true });
}

async function measure(attack: (typeof attacks)[number], token: string): Promise<number[]> {
  const forMs = Number(options.seconds) * 1_000;
  const before = await watchFor(forMs, token);
  const running = await startAttacks([attack], target);
  const attackerSince = await cpuSeconds(running.pid);
  const during = await watchFor(forMs, token);
  const attacker = (100 * ((await cpuSeconds(running.pid)) - attackerSince)) / during.seconds;
  await running.end();
  await delay(Number(options.after) * 1_000);
  const both = (name: "cpu" | "loopP99" | "loopMax" | "p50" | "p99") => [before[name], during[name]];
  return [
    ...[before.megabytes, during.megabytes, await memoryMb(master.pid)],
    ...[...both("cpu"), attacker, ...both("loopP99"), ...both("loopMax"), ...both("p50"), ...both("p99")],
    before.failed + during.failed,
  ];
}

/** Operators' calls until the time is over, and what the master was like meanwhile. */
async function watchFor(ms: number, token: string) {
  const first = await readMetrics(target);
  const since = performance.now();
  const rounds = [];
  do rounds.push(await callAsOperator(target, token, roundOfCalls, restMs));
  while (performance.now() - since < ms);
  const seconds = (performance.now() - since) / 1_000;
  const last = await readMetrics(target);
  const cpu = "process_cpu_seconds_total";
  const times = rounds.flatMap((each) => each.times);
  return {
    seconds,
    megabytes: await memoryMb(master.pid),
    cpu: (100 * (last(cpu) - first(cpu))) / seconds,
    loopP99: 1_000 * last("nodejs_eventloop_lag_p99_seconds"),
    loopMax: 1_000 * last("nodejs_eventloop_lag_max_seconds"),
    p50: median(times),
    p99: percentile(times, 0.99),
    failed: rounds.reduce((sum, { failures }) => sum + failures.length, 0),
  };
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
