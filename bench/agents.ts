import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { createReleasers } from "@decnet/common/runtime/releasers";
import { runBounded } from "@decnet/common/runtime/run-bounded";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { startAgentGroup } from "./support/agent-groups.ts";
import { cpuSeconds, describeMemory, memoryMb } from "./support/process-figures.ts";
import { readArguments } from "./support/profiles.ts";
import { type Program, startProgram } from "./support/programs.ts";

/**
 * What an agent costs its master: processor time and memory for one that joins, at rest, and for each decky of a deploy. The
 * master is real, with its PostgreSQL and its TLS port, in a process of its own; the agents are real but for their engines.
 * Usage: npm run bench:agents -- [--profiles FOLDER] [--node FLAG] [AGENTS [DECKIES]]
 */
const { numbers, profiles } = await readArguments();
const [agentCount = 200, deckyCount = 500] = numbers;
/** They join first and are not counted: what runs for the first time is slow. */
const warmUp = 40;
const inviting = 16;
const restMs = 30_000;
const settleMs = 8_000;
const patienceMs = 600_000;
const perEntry = 500;
const patient = { timeoutMs: 3_600_000 };

const folder = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await chmod(folder, 0o711);
const dataDir = join(folder, "master");
const stateDir = await mkdtemp("/dev/shm/decnet-bench-").catch(() => mkdtemp(join(tmpdir(), "decnet-bench-")));
const releasers = createReleasers();
for (const made of [folder, stateDir]) releasers.add(() => rm(made, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void releasers.release().finally(() => process.exit(1)));
try {
  await bench();
} finally {
  await releasers.release();
}

async function bench(): Promise<void> {
  const { program, port } = await startMaster();
  releasers.add(() => program.end("SIGTERM"));
  const token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
  const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
  releasers.add(async () => close());
  const swarm = createClient(SwarmService, transport);
  const fleet = createClient(FleetService, transport);
  const postgres = Number((await readFile(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8")).split("\n")[0]);
  const cpu = async () => ({ master: await cpuSeconds(program.pid), database: await cpuSeconds(postgres) });
  const since = async (before: Awaited<ReturnType<typeof cpu>>) => {
    const now = await cpu();
    return { masterMs: (now.master - before.master) * 1_000, databaseMs: (now.database - before.database) * 1_000 };
  };
  let joined = 0;

  const invite = async (count: number): Promise<string[]> => {
    const secrets: string[] = [];
    await runBounded(Array.from({ length: count }), inviting, async (_, at) => {
      const hostName = `edge-${String(joined + at + 1).padStart(5, "0")}`;
      secrets[at] = (await swarm.createJoinToken({ hostName, ttl: { seconds: 86_400n, nanos: 0 } })).secret;
    });
    return secrets;
  };
  /** Milliseconds until all are connected, without the start of their program. */
  const connectAll = async (secrets: readonly string[]): Promise<number> => {
    joined += secrets.length;
    let from: number | undefined;
    const group = await startAgentGroup({
      folder: join(stateDir, `group-${joined}`),
      secrets,
      onBegun: () => {
        from = performance.now();
      },
    });
    releasers.add(() => group.program.end("SIGTERM"));
    await until(async () => group.connected === secrets.length);
    const connected = async () => (await swarm.listHosts({ filter: "state=connected", pageSize: 1 })).counts["connected"];
    await until(async () => (await connected()) === joined);
    return performance.now() - (from ?? 0);
  };

  await connectAll(await invite(warmUp));
  const secrets = await invite(agentCount);
  await delay(settleMs);
  const [beforeMb, beforeJoin] = [await memoryMb(program.pid), await cpu()];
  const tookMs = await profiles.during(program, () => connectAll(secrets));
  const spent = await since(beforeJoin);
  say(
    `${agentCount} agents joined in ${(tookMs / 1_000).toFixed(1)} s: ${(spent.masterMs / agentCount).toFixed(1)} ms of the ` +
      `master's processor time for each, ${(spent.databaseMs / agentCount).toFixed(1)} ms of its database's`,
  );
  await delay(settleMs);
  say(`memory for each: ${(((await memoryMb(program.pid)) - beforeMb) / agentCount).toFixed(2)} MB`);
  const rest = async (what: string) => {
    const before = await cpu();
    await profiles.during(program, () => delay(restMs));
    const { masterMs, databaseMs } = await since(before);
    const share = (ms: number) => ((ms / restMs) * 100).toFixed(1);
    say(`at rest with ${joined} agents${what}: ${share(masterMs)} % of a core, its database ${share(databaseMs)} %`);
  };
  await rest("");
  if (deckyCount === 0) return;
  const deckies = Array.from({ length: Math.ceil(deckyCount / perEntry) }, (_, at) => ({
    name: `bench${at}-[0001-${String(Math.min(perEntry, deckyCount - at * perEntry)).padStart(4, "0")}]`,
    services: [{ slug: "http" }],
  }));
  const lan = { name: "decnet_bench", subnet: "10.64.0.0/16" };
  const placement = { where: { case: "balanced", value: true } } as const;
  const beforeDeploy = await cpu();
  await profiles.during(program, () => fleet.applyFleet({ fleet: { lan, deckies, defaultPlacement: placement } }, patient));
  const deploy = await since(beforeDeploy);
  say(`${deckyCount} deckies deployed: ${(deploy.masterMs / deckyCount).toFixed(2)} ms of the master's processor time for each`);
  await delay(settleMs);
  const settled = await since(beforeDeploy);
  say(`  with what the agents reported afterwards: ${(settled.masterMs / deckyCount).toFixed(2)} ms`);
  await rest(` and ${deckyCount} deckies`);
  say(`memory of the master: ${await describeMemory(port)}`);
}

async function startMaster(): Promise<{ readonly program: Program; readonly port: number }> {
  return new Promise((resolve, reject) => {
    const env = {
      DECNET_DATA_DIR: dataDir,
      DECNET_PORT: "0",
      DECNET_TLS_HOST: "127.0.0.1",
      DECNET_TLS_PORT: "0",
      ...profiles.env,
    };
    const program = startProgram(
      "packages/master/src/main.ts",
      [],
      env,
      {
        from: "stderr",
        onLine(line) {
          const [, port] = /"port":(\d+),"tlsPort":\d+.*"msg":"master started"/.exec(line) ?? [];
          if (port !== undefined) resolve({ program, port: Number(port) });
          if (/"level":[56]0/.test(line)) process.stderr.write(`${line}\n`);
          if (line.includes("the master cannot start")) reject(new Error(line));
        },
      },
      { flags: profiles.flags },
    );
  });
}

async function until(look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`not so after ${patienceMs} ms`);
    await delay(50);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
