import { join } from "node:path";
import { DriftPolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { deckyNames } from "@decnet/engine/render/names";
import { execa } from "execa";
import { useSwarm } from "../test/support/use-swarm.ts";
import { createTable, median } from "./support/figures.ts";

/**
 * How long AddService takes on a decky of a worker, from the call at the master up to the start of the container, beside a bare
 * `docker compose up -d --no-deps` of the same container on the worker's engine, in turns in one run; and how long until the
 * port listens. The worker is a host of the lab with an engine of its own and a real agent. Usage: npm run bench:worker --
 * [DECKIES [ROUNDS]]
 */
const [deckyCount = 20, rounds = 15] = process.argv.slice(2).map(Number);
const slug = "redis";
const patient = { timeoutMs: 600_000 };

const swarm = await useSwarm({ hosts: 1, slugs: ["http", slug] });
try {
  const { master, workers } = swarm;
  const [worker] = workers;
  if (worker === undefined) throw new Error("the lab has no worker");
  const { fleet, mutations, prefix, lan } = master;
  const engine = { DOCKER_HOST: `unix://${worker.host.socket}` };
  const docker = (args: readonly string[]) => execa("docker", args, { env: engine });

  /** From the call to the moment that the engine says the container started, and to the answer. */
  const untilStarted = async (container: string, act: () => Promise<unknown>) => {
    const from = Date.now();
    await act();
    const answeredMs = Date.now() - from;
    const { stdout } = await docker(["inspect", "--format", "{{.State.StartedAt}}", container]);
    return { startedMs: Date.parse(stdout) - from, answeredMs };
  };

  const deckies = [{ name: `${prefix}-[0001-${String(deckyCount).padStart(4, "0")}]`, services: [{ slug: "http" }] }];
  const defaultPlacement = { where: { case: "host", value: worker.name } } as const;
  await fleet.applyFleet({ fleet: { lan, deckies, defaultPlacement, driftPolicy: DriftPolicy.REPORT } }, patient);
  process.stderr.write(`${deckyCount} deckies run on ${worker.name}\n`);

  const decky = { name: `${prefix}-0001` };
  const names = deckyNames("fleet", decky.name);
  const container = names.service(slug);
  const file = join(worker.host.stateDir, "deckies", names.base, "compose.yaml");
  const up = ["compose", "-p", names.project, "-f", file, "up", "-d", "--no-deps", container];
  const times = { ours: [] as number[], listening: [] as number[], compose: [] as number[] };
  await mutations.addService({ decky, service: slug });
  await mutations.removeService({ decky, service: slug });
  for (let round = 0; round < rounds; round += 1) {
    const ours = await untilStarted(container, () => mutations.addService({ decky, service: slug }));
    times.ours.push(ours.startedMs);
    // AddService answers when the port was seen listening.
    times.listening.push(ours.answeredMs);
    await docker(["rm", "-f", container]);
    times.compose.push((await untilStarted(container, () => docker(up))).startedMs);
    await docker(["rm", "-f", container]);
    await mutations.removeService({ decky, service: slug });
  }
  const [ours, listening, compose] = [times.ours, times.listening, times.compose].map(median);
  const row = createTable(["deckies", "rounds", "AddService ms", "listening ms", "compose ms", "/compose"]);
  const ratio = (ours ?? Number.NaN) / (compose ?? Number.NaN);
  row([
    String(deckyCount),
    String(rounds),
    ...[ours, listening, compose].map((value) => (value ?? Number.NaN).toFixed(0)),
    ratio.toFixed(2),
  ]);
} finally {
  await swarm.dispose();
}
