import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createClient } from "@connectrpc/connect";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { DriftPolicy, FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { deckyNames } from "@decnet/engine/render/names";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { execa } from "execa";
import { type AgentGroup, startAgentGroup } from "./support/agent-groups.ts";
import { createTable, median } from "./support/figures.ts";

/**
 * How long AddService takes up to the start of the container, beside a bare `docker compose up -d --no-deps` of the same
 * container and beside `docker run`, taken in turns in one run; and how long until the port listens. Usage: npm run bench --
 * [--here N] [DECKIES...] Prints milliseconds (medians) and ratios for each number of deckies. All of them are real and run,
 * or, with `--here`, so many of them: the others live on a simulated worker, so that what grows is what the master knows,
 * not what the engine carries. The master looks at its host as often as it always does; it only reports what it finds,
 * because the bench itself removes containers behind its back.
 */
const { values, positionals } = parseArgs({ options: { here: { type: "string" } }, allowPositionals: true });
const sizes = positionals.map(Number).filter((size) => size > 0);
const mostHere = values.here === undefined ? undefined : Math.max(1, Number(values.here));
const worker = "edge-1";
const rounds = 9;
const prefix = "bench";
const slug = "redis";
const patient = { timeoutMs: 3_600_000 };

const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await chmod(dataDir, 0o711);
const config = parseMasterConfig(
  {
    DECNET_DATA_DIR: dataDir,
    DECNET_PORT: "0",
    DECNET_TLS_HOST: mostHere === undefined ? "off" : "127.0.0.1",
    DECNET_TLS_PORT: "0",
  },
  fileURLToPath(new URL("../catalog", import.meta.url)),
);
const master = await startMaster({ config, log: createLogger("bench", "error"), version: "bench" });
const token = (await readFile(config.adminTokenFile, "utf8")).trim();
const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
const fleet = createClient(FleetService, transport);
const mutations = createClient(MutationService, transport);
const swarm = createClient(SwarmService, transport);
let simulated: AgentGroup | undefined;

try {
  if (mostHere !== undefined) simulated = await startWorker();
  const row = createTable([
    "deckies",
    "AddService ms",
    "listening ms",
    "compose ms",
    "run ms",
    "/compose",
    "/run",
    "t(n)/t(1)",
    "the same of compose",
  ]);
  let first: { ours: number; compose: number } | undefined;
  for (const size of sizes.length > 0 ? sizes : [1, 10]) {
    await grow(size);
    const { ours, listening, compose, run } = await measure(`${prefix}-0001`);
    first ??= { ours, compose };
    row([
      String(size),
      ...[ours, listening, compose, run].map((value) => value.toFixed(0)),
      ...[ours / compose, ours / run, ours / first.ours, compose / first.compose].map((value) => value.toFixed(2)),
    ]);
  }
} finally {
  await fleet.teardownFleet({}, patient).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  await execa("docker", ["network", "rm", "decnet_bench"], { reject: false });
  await simulated?.program.end("SIGTERM");
  close();
  await master.stop();
  await rm(dataDir, { recursive: true, force: true });
}

async function startWorker(): Promise<AgentGroup> {
  const { secret } = await swarm.createJoinToken({ hostName: worker });
  const group = await startAgentGroup({ folder: join(dataDir, "simulated"), secrets: [secret] });
  for (let tries = 0; group.connected === 0; tries += 1) {
    if (tries > 300) throw new Error("the simulated worker does not connect");
    await delay(100);
  }
  return group;
}

/** Has so many deckies run, and no others. */
async function grow(size: number): Promise<void> {
  const from = performance.now();
  const lan = { name: "decnet_bench", subnet: "10.78.0.0/22" };
  const here = Math.min(size, mostHere ?? size);
  const on = (host: string, name: string, count: number) => ({
    name: `${name}-[0001-${String(count).padStart(4, "0")}]`,
    services: [{ slug: "http" }],
    placement: { where: { case: "host", value: host } } as const,
  });
  const deckies = [on("local", prefix, here), ...(size > here ? [on(worker, `${prefix}-away`, size - here)] : [])];
  await fleet.applyFleet({ fleet: { lan, deckies, driftPolicy: DriftPolicy.REPORT } }, patient);
  process.stderr.write(`${size} deckies run after ${((performance.now() - from) / 1_000).toFixed(1)} s\n`);
}

async function measure(name: string): Promise<{ ours: number; listening: number; compose: number; run: number }> {
  const decky = { name };
  const names = deckyNames("fleet", name);
  const container = names.service(slug);
  const file = join(dataDir, "deckies", names.base, "compose.yaml");
  const drop = () => execa("docker", ["rm", "-f", container]);
  const times = { ours: [] as number[], listening: [] as number[], compose: [] as number[], run: [] as number[] };
  await mutations.addService({ decky, service: slug });
  await mutations.removeService({ decky, service: slug });
  for (let round = 0; round < rounds; round += 1) {
    const ours = await untilStarted(container, () => mutations.addService({ decky, service: slug }));
    times.ours.push(ours.startedMs);
    // AddService answers when the port was seen listening.
    times.listening.push(ours.answeredMs);
    const { stdout: image } = await execa("docker", ["inspect", "--format", "{{.Config.Image}}", container]);
    await drop();
    const up = ["compose", "-p", names.project, "-f", file, "up", "-d", "--no-deps", container];
    times.compose.push((await untilStarted(container, () => execa("docker", up))).startedMs);
    await drop();
    const start = ["run", "-d", "--init", "--name", container, "--network", `container:${names.base}`, image];
    times.run.push((await untilStarted(container, () => execa("docker", start))).startedMs);
    await drop();
    await mutations.removeService({ decky, service: slug });
  }
  return {
    ours: median(times.ours),
    listening: median(times.listening),
    compose: median(times.compose),
    run: median(times.run),
  };
}

/** From the call to the moment that the engine says the container started, and to the answer. */
async function untilStarted(container: string, act: () => Promise<unknown>): Promise<{ startedMs: number; answeredMs: number }> {
  const from = Date.now();
  await act();
  const answeredMs = Date.now() - from;
  const { stdout } = await execa("docker", ["inspect", "--format", "{{.State.StartedAt}}", container]);
  return { startedMs: Date.parse(stdout) - from, answeredMs };
}
