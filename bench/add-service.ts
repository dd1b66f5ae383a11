import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { FleetService } from "@decnet/common/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/common/gen/decnet/v1/mutation_pb";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { deckyNames } from "@decnet/engine/render/names";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { execa } from "execa";

/**
 * How long AddService takes up to the start of the container, beside a bare `docker compose up -d --no-deps` of the same container and beside
 * `docker run`, taken in turns in one run. Usage: node --import tsx --conditions=source bench/add-service.ts [DECKIES...]
 * Prints milliseconds (medians) and ratios for each number of real, running deckies.
 */
const sizes = process.argv
  .slice(2)
  .map(Number)
  .filter((size) => size > 0);
const rounds = 9;
const prefix = "bench";
const slug = "redis";

const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await execa("chmod", ["711", dataDir]);
const env = { DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", DECNET_DRIFT_INTERVAL_MS: "86400000" };
const config = parseMasterConfig(env, fileURLToPath(new URL("../catalog", import.meta.url)));
const master = await startMaster({ config, log: createLogger("bench", "error"), version: "bench" });
const token = (await readFile(config.adminTokenFile, "utf8")).trim();
const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
const fleet = createClient(FleetService, transport);
const mutations = createClient(MutationService, transport);
const decky = { name: `${prefix}-01` };
const names = deckyNames("fleet", decky.name);
const container = names.service(slug);

const median = (values: number[]) => [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Milliseconds from the call to the moment that the engine says the container started. */
async function untilStarted(act: () => Promise<unknown>): Promise<number> {
  const from = Date.now();
  await act();
  const { stdout } = await execa("docker", ["inspect", "--format", "{{.State.StartedAt}}", container]);
  return Date.parse(stdout) - from;
}

try {
  process.stdout.write("deckies  AddService  listening  compose  docker run  /compose  /run\n");
  for (const size of sizes.length > 0 ? sizes : [1, 10]) {
    const deckies = [{ name: prefix, count: size, services: [{ slug: "http" }] }];
    await fleet.applyFleet({ fleet: { lan: { name: "decnet_bench", subnet: "10.78.0.0/22" }, deckies } });
    await mutations.addService({ decky, service: slug });
    await mutations.removeService({ decky, service: slug });
    const times = { ours: [] as number[], listening: [] as number[], compose: [] as number[], run: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      const from = performance.now();
      times.ours.push(
        await untilStarted(async () => {
          await mutations.addService({ decky, service: slug });
          times.listening.push(performance.now() - from);
        }),
      );
      const { stdout: image } = await execa("docker", ["inspect", "--format", "{{.Config.Image}}", container]);
      await execa("docker", ["rm", "-f", container]);
      const file = join(dataDir, "deckies", decky.name, "compose.yaml");
      times.compose.push(
        await untilStarted(() =>
          execa("docker", ["compose", "-p", names.project, "-f", file, "up", "-d", "--no-deps", container]),
        ),
      );
      await execa("docker", ["rm", "-f", container]);
      times.run.push(
        await untilStarted(() =>
          execa("docker", ["run", "-d", "--init", "--name", container, "--network", `container:${names.base}`, image]),
        ),
      );
      await execa("docker", ["rm", "-f", container]);
      await mutations.removeService({ decky, service: slug });
    }
    const [ours, listening, compose, run] = [times.ours, times.listening, times.compose, times.run].map(median) as [
      number,
      number,
      number,
      number,
    ];
    const cells = [
      String(size).padEnd(7),
      ours.toFixed(0).padEnd(10),
      listening.toFixed(0).padEnd(9),
      compose.toFixed(0).padEnd(7),
      run.toFixed(0).padEnd(10),
      (ours / compose).toFixed(2).padEnd(8),
      (ours / run).toFixed(2),
    ];
    process.stdout.write(`${cells.join("  ")}\n`);
  }
} finally {
  await fleet.teardownFleet({}).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  await execa("docker", ["network", "rm", "decnet_bench"], { reject: false });
  close();
  await master.stop();
  await rm(dataDir, { recursive: true, force: true });
}
