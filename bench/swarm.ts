import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { createReleasers } from "@decnet/common/runtime/releasers";
import { runBounded } from "@decnet/common/runtime/run-bounded";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { cutHost, healHost, layNetwork } from "../test/support/lab/network.ts";
import { registerLab } from "../test/support/lab/register.ts";
import { removeLab } from "../test/support/lab/remove.ts";
import { type AgentGroup, startAgentGroup } from "./support/agent-groups.ts";
import { createTable, median, percentile } from "./support/figures.ts";
import { cpuSeconds, describeMemory, memoryMb } from "./support/process-figures.ts";
import { readArguments } from "./support/profiles.ts";
import { type Program, startProgram } from "./support/programs.ts";

/**
 * What many workers cost one master: a real master with its PostgreSQL and its TLS port in a process of its own, and
 * simulated agents in others: real identities, connections and calls, but engines that only count. First with ten agents,
 * then with all. Usage: npm run bench:swarm -- [--profiles FOLDER] [--node FLAG] [AGENTS [DECKIES]]
 */
const { numbers, profiles } = await readArguments();
const [agentCount = 1_000, deckyCount = 10_000] = numbers;
const firstAgents = 10;
const callers = 16;
const rounds = 6;
const perRound = 48;
const restMs = 20_000;
const slug = "redis";
const batchParallel = 64;
const batchSlug = "ftp";
const perEntry = 1_000;
/** Neighbouring calls go to deckies that are far apart. */
const stride = 37;
const patient = { timeoutMs: 3_600_000 };
const patienceMs = 600_000;

const folder = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await chmod(folder, 0o711);
const dataDir = join(folder, "master");
/** Simulated hosts would share one disk, which real ones do not: their state is in memory where there is such a place. */
const stateDir = await mkdtemp("/dev/shm/decnet-bench-").catch(() => mkdtemp(join(tmpdir(), "decnet-bench-")));
const releasers = createReleasers();
for (const made of [folder, stateDir]) releasers.add(() => rm(made, { recursive: true, force: true }));

interface RunningMaster {
  readonly program: Program;
  readonly port: number;
  readonly tlsPort: number;
}

/** Deckies that the load has put its service on. */
const present = new Set<string>();
let master: RunningMaster | undefined;
const groups: AgentGroup[] = [];
/** A host of its own for the first agent, so that it can be cut off. */
const lab = await registerLab(`bench${randomBytes(2).toString("hex")}`, 1, { pid: process.pid });
const firstHost = lab.hosts[0] ?? raise("the lab has no host");
releasers.add(() => removeLab(lab));

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void releasers.release().finally(() => process.exit(1)));
try {
  await bench();
} finally {
  await releasers.release();
}

async function bench(): Promise<void> {
  await layNetwork(lab);
  let now = await startMaster("0");
  master = now;
  releasers.add(async () => master?.program.end("SIGTERM"));
  let calls = await connect(now);
  const idleMb = await memoryMb(now.program.pid);

  // One agent has a host of its own: it is cut off later.
  const enrolledFirst = await enroll(calls.swarm, [1, firstAgents - 1]);
  await deploy(calls.fleet, firstAgents * Math.max(1, Math.round(deckyCount / agentCount)));
  const few = await mutate(calls, "of ten agents");
  say(`${firstAgents} agents: enrolled after ${seconds(enrolledFirst)} s, ${(await memoryMb(now.program.pid)).toFixed(0)} MB`);

  const rest = agentCount - firstAgents;
  const enrollMs = await enroll(calls.swarm, [Math.ceil(rest / 2), Math.floor(rest / 2)]);
  say(`${rest} more agents enrolled and connected: ${seconds(enrollMs)} s, ${((rest / enrollMs) * 1_000).toFixed(0)} per second`);
  say(`memory of the master: ${idleMb.toFixed(0)} MB without agents, ${await describeMemory(now.port)} with them`);
  say(`cpu at rest, no deckies: ${await cpuAtRest(now)}`);
  const { program } = now;
  const cpu = await cpuSeconds(program.pid);
  const deployMs = await profiles.during(program, () => deploy(calls.fleet, deckyCount));
  const perDecky = (((await cpuSeconds(program.pid)) - cpu) * 1_000) / deckyCount;
  say(
    `${deckyCount} deckies deployed: ${seconds(deployMs)} s, ${perDecky.toFixed(2)} ms of the master's processor time for each`,
  );
  say(`cpu at rest: ${await profiles.during(program, () => cpuAtRest(now))}`);
  say(`memory of the master: ${await describeMemory(now.port)}`);
  const many = await mutate(calls, "of all agents");

  const row = createTable([
    "agents",
    "callers",
    "mutations/s",
    "cpu ms",
    "p50 ms",
    "p99 ms",
    "floor ms",
    "p50/floor",
    "p50/first",
  ]);
  for (const [agents, { one, several, floorMs }] of [
    [firstAgents, few],
    [agentCount, many],
  ] as const)
    for (const [count, load, first] of [
      [1, one, few.one],
      [callers, several, few.several],
    ] as const) {
      const p50 = median(load.times);
      row([
        String(agents),
        String(count),
        ((load.times.length * 1_000) / load.tookMs).toFixed(0),
        (load.cpuMs / load.times.length).toFixed(2),
        p50.toFixed(2),
        percentile(load.times, 0.99).toFixed(2),
        floorMs.toFixed(2),
        (p50 / floorMs).toFixed(2),
        (p50 / median(first.times)).toFixed(2),
      ]);
    }

  await cutOne(calls);
  const batchMs = await batch(calls.mutations);
  const perSecond = ((deckyCount / batchMs) * 1_000).toFixed(0);
  say(`BatchMutate of ${deckyCount} deckies, ${batchParallel} side by side: ${seconds(batchMs)} s, ${perSecond} changes/s`);

  calls.close();
  const from = performance.now();
  await now.program.end("SIGKILL");
  now = await startMaster(String(now.tlsPort));
  master = now;
  const upAt = performance.now();
  calls = await connect(now);
  releasers.add(() => calls.close());
  await allConnected(calls.swarm);
  const backAt = performance.now();
  say(
    `connect storm: the master was killed and started again; it listened after ${seconds(upAt - from)} s, and ` +
      `${seconds(backAt - upAt)} s later all ${agentCount} agents were connected`,
  );
  say(`memory of the master: ${(await memoryMb(now.program.pid)).toFixed(0)} MB`);
}

function raise(problem: string): never {
  throw new Error(problem);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

async function startMaster(tlsPort: string): Promise<RunningMaster> {
  return new Promise((resolve, reject) => {
    const tls = { DECNET_TLS_HOST: lab.masterAddress, DECNET_TLS_PORT: tlsPort };
    const env = { DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", ...tls, ...profiles.env };
    const program = startProgram(
      "packages/master/src/main.ts",
      [],
      env,
      {
        from: "stderr",
        onLine(line) {
          const [, port, tls] = /"port":(\d+),"tlsPort":(\d+).*"msg":"master started"/.exec(line) ?? [];
          if (port !== undefined) resolve({ program, port: Number(port), tlsPort: Number(tls) });
          if (/"level":[56]0/.test(line)) process.stderr.write(`${line}\n`);
          if (line.includes("the master cannot start")) reject(new Error(line));
        },
      },
      { flags: profiles.flags },
    );
  });
}

async function connect({ port, program }: RunningMaster) {
  const token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
  const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
  return {
    swarm: createClient(SwarmService, transport),
    fleet: createClient(FleetService, transport),
    mutations: createClient(MutationService, transport),
    access: createClient(AccessService, transport),
    masterPid: program.pid,
    close,
  };
}
type Calls = Awaited<ReturnType<typeof connect>>;

/**
 * Has so many more agents join, in processes of so many each. Milliseconds until all are connected, without the start of the
 * processes' programs.
 */
async function enroll(swarm: Client<typeof SwarmService>, sizes: readonly number[]): Promise<number> {
  const first = groups.reduce((sum, group) => sum + group.size, 0);
  const names = Array.from({ length: sizes.reduce((sum, size) => sum + size, 0) }, (_, at) => nameOf(first + at));
  const secrets: string[] = [];
  await runBounded(names, callers, async (hostName, at) => {
    secrets[at] = (await swarm.createJoinToken({ hostName, ttl: { seconds: 86_400n, nanos: 0 } })).secret;
  });
  let from = performance.now();
  for (const size of sizes) {
    const isFirst = groups.length === 0;
    const group = await startAgentGroup({
      folder: join(stateDir, `group-${groups.length}`),
      secrets: secrets.splice(0, size),
      ...(isFirst ? { network: firstHost.name } : {}),
      onBegun: () => {
        from = performance.now();
      },
    });
    releasers.add(() => group.program.end("SIGTERM"));
    groups.push(group);
  }
  await allConnected(swarm);
  return performance.now() - from;
}

function nameOf(index: number): string {
  return `edge-${String(index + 1).padStart(5, "0")}`;
}

/** The agents say it first, then the master must agree. */
async function allConnected(swarm: Client<typeof SwarmService>): Promise<void> {
  const wanted = groups.reduce((sum, group) => sum + group.size, 0);
  await until(async () => groups.every((group) => group.connected === group.size));
  await until(async () => {
    const { counts } = await swarm.listHosts({ filter: "state=connected", pageSize: 1 });
    return counts["connected"] === wanted;
  });
}

async function until(look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`not so after ${patienceMs} ms`);
    await delay(20);
  }
}

async function cpuAtRest({ program }: RunningMaster): Promise<string> {
  const postgres = Number((await readFile(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8")).split("\n")[0]);
  const look = () => Promise.all([cpuSeconds(program.pid), cpuSeconds(postgres)]);
  // What came with the load has settled.
  await delay(5_000);
  const before = await look();
  await delay(restMs);
  const after = await look();
  const [own = 0, database = 0] = after.map((value, at) => ((value - (before[at] ?? 0)) / (restMs / 1_000)) * 100);
  return `${own.toFixed(1)} % of a core, its database ${database.toFixed(1)} %`;
}

/** Has so many deckies live on the agents, as many on each, with the wanted services alone. */
async function deploy(fleet: Client<typeof FleetService>, count: number): Promise<number> {
  const number = (at: number) => String(at).padStart(4, "0");
  const deckies = Array.from({ length: Math.ceil(count / perEntry) }, (_, at) => ({
    name: `bench${at}-[0001-${number(Math.min(perEntry, count - at * perEntry))}]`,
    services: [{ slug: "http" }],
  }));
  const lan = { name: "decnet_bench", subnet: "10.64.0.0/16" };
  present.clear();
  return timed(() =>
    fleet.applyFleet({ fleet: { lan, deckies, defaultPlacement: { where: { case: "balanced", value: true } } } }, patient),
  );
}

interface Load {
  readonly times: readonly number[];
  readonly tookMs: number;
  /** Processor time of the master's process. */
  readonly cpuMs: number;
}

/** Puts the service on a decky, or takes it off again, in turns. */
function createLoad({ mutations, masterPid }: Calls, names: readonly string[]) {
  let turn = 0;
  const change = async (name: string) => {
    const request = { decky: { name }, service: slug };
    await (present.has(name) ? mutations.removeService(request) : mutations.addService(request));
    if (!present.delete(name)) present.add(name);
  };
  /** Each caller has every n-th decky for itself, and goes through them from call to call, so often or as long as told. */
  return async (count: number, isMore: (calls: number) => boolean): Promise<Load> => {
    const times: number[] = [];
    const cpu = await cpuSeconds(masterPid);
    const from = performance.now();
    let most = 0;
    await Promise.all(
      Array.from({ length: count }, async (_, at) => {
        const mine = names.filter((_name, index) => index % count === at);
        for (let call = 0; mine.length > 0 && isMore(call); call += 1) {
          times.push(await timed(() => change(mine[((turn + call) * stride) % mine.length] ?? "")));
          most = Math.max(most, call + 1);
        }
      }),
    );
    turn += most;
    const tookMs = performance.now() - from;
    return { times, tookMs, cpuMs: ((await cpuSeconds(masterPid)) - cpu) * 1_000 };
  };
}

/** One caller, sixteen callers and the floor, one unary call and one commit, in turns. */
async function mutate(calls: Calls, what: string) {
  const { access, fleet } = calls;
  const names = await namesOf(fleet, "");
  say(`mutations on ${names.length} deckies ${what}`);
  const load = createLoad(calls, names);
  const database = await openDatabase(await openPrivatePostgres(dataDir));
  try {
    await database.read((tx) =>
      managerOf(tx).query("CREATE TABLE IF NOT EXISTS bench_commits (id bigserial PRIMARY KEY, note text NOT NULL)"),
    );
    const parts = { one: [] as Load[], several: [] as Load[] };
    const floor = { calls: [] as number[], commits: [] as number[] };
    await load(callers, (call) => call < perRound / callers);
    for (let round = 0; round < rounds; round += 1) {
      parts.one.push(await load(1, (call) => call < perRound));
      parts.several.push(await load(callers, (call) => call < perRound / callers));
      for (let call = 0; call < perRound; call += 1) {
        floor.calls.push(await timed(() => access.whoAmI({})));
        const insert = "INSERT INTO bench_commits (note) VALUES ('one commit')";
        floor.commits.push(await timed(() => database.read((tx) => managerOf(tx).query(insert))));
      }
    }
    return { one: sumUp(parts.one), several: sumUp(parts.several), floorMs: median(floor.calls) + median(floor.commits) };
  } finally {
    await database.close();
  }
}

function sumUp(parts: readonly Load[]): Load {
  const sum = (of: (part: Load) => number) => parts.reduce((total, part) => total + of(part), 0);
  return { times: parts.flatMap((part) => part.times), tookMs: sum((part) => part.tookMs), cpuMs: sum((part) => part.cpuMs) };
}

/**
 * Mutations on other hosts while one host is cut off in the middle of an apply, until after the master has noticed, beside
 * times when all is well.
 */
async function cutOne(calls: Calls): Promise<void> {
  const { fleet, mutations, swarm } = calls;
  const cut = nameOf(0);
  const load = createLoad(calls, await namesOf(fleet, `host!=${cut}`));
  const victims = await namesOf(fleet, `host=${cut}`);
  const calm: Load[] = [];
  const disturbed: Load[] = [];
  const phaseMs = 15_000;
  for (let round = 0; round < 2; round += 1) {
    for (const loads of [calm, disturbed]) {
      const waiting: Promise<unknown>[] = [];
      if (loads === disturbed) {
        await cutHost(lab, firstHost);
        for (const name of victims)
          waiting.push(mutations.addService({ decky: { name }, service: "telnet" }, patient).catch((error: unknown) => error));
      }
      const end = performance.now() + phaseMs;
      loads.push(await load(callers, () => performance.now() < end));
      if (loads === disturbed) {
        await healHost(lab, firstHost);
        await Promise.all(waiting);
        await allConnected(swarm);
        await until(async () => (await namesOf(fleet, `host=${cut},service=telnet,state=running`)).length === victims.length);
        for (const name of victims) await mutations.removeService({ decky: { name }, service: "telnet" }, patient);
      }
    }
  }
  const [before, during] = [sumUp(calm), sumUp(disturbed)].map(({ times }) => ({
    count: times.length,
    p50: median(times),
    p99: percentile(times, 0.99),
  }));
  if (before === undefined || during === undefined) return;
  say(
    [
      `${callers} callers on other hosts: p50 ${before.p50.toFixed(1)} ms and p99 ${before.p99.toFixed(1)} ms`,
      ` of ${before.count} mutations; while ${cut} was cut off in the middle of ${victims.length} applies,`,
      ` p50 ${during.p50.toFixed(1)} and p99 ${during.p99.toFixed(1)} of ${during.count}:`,
      ` ${(during.p99 / before.p99).toFixed(2)} times the p99`,
    ].join(""),
  );
}

async function batch(mutations: Client<typeof MutationService>): Promise<number> {
  const changes = [{ change: { case: "add" as const, value: { service: batchSlug } } }];
  return timed(async () => {
    for await (const { item } of mutations.batchMutate({ select: "name=bench*", changes, parallel: batchParallel }, patient))
      if (item.case === "summary" && item.value.finished && item.value.done !== deckyCount)
        throw new Error(`only ${item.value.done} of ${deckyCount} changes were made`);
  });
}

async function namesOf(fleet: Client<typeof FleetService>, filter: string): Promise<string[]> {
  const names: string[] = [];
  for (let pageToken: string | undefined; pageToken !== ""; ) {
    const page = await fleet.listDeckies({ filter, pageSize: perEntry, pageToken: pageToken ?? "" }, patient);
    names.push(...page.deckies.flatMap((decky) => decky.ref?.name ?? []));
    pageToken = page.nextPageToken;
  }
  return names;
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await act();
  return performance.now() - from;
}
