import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createClient } from "@connectrpc/connect";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { TopologyService } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { execa } from "execa";
import { parse, stringify } from "yaml";
import { createTable, median } from "./support/figures.ts";

/**
 * How long the deploy and the teardown of a topology take, beside `docker compose up -d` and `down` of one plain file with the
 * same containers and networks, in turns in one run; then how long a live AddService takes, up to the start of the container, on
 * a decky of that topology, of a topology of one and of a fleet of one, in turns on the same engine. Usage:
 * npm run bench:topology -- [--deckies 60] [--lans 6] [--turns 2] [--rounds 9]
 */
const { values } = parseArgs({
  options: { deckies: { type: "string" }, lans: { type: "string" }, turns: { type: "string" }, rounds: { type: "string" } },
});
const [deckies, lans, turns, rounds] = [values.deckies ?? 60, values.lans ?? 6, values.turns ?? 2, values.rounds ?? 9].map(
  Number,
) as [number, number, number, number];
const patient = { timeoutMs: 3_600_000 };
const slug = "redis";

const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
await chmod(dataDir, 0o711);
const config = parseMasterConfig(
  { DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", DECNET_TLS_HOST: "off" },
  fileURLToPath(new URL("../catalog", import.meta.url)),
);
const master = await startMaster({ config, log: createLogger("bench", "error"), version: "bench" });
const token = (await readFile(config.adminTokenFile, "utf8")).trim();
const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
const topologies = createClient(TopologyService, transport);
const mutations = createClient(MutationService, transport);
const fleet = createClient(FleetService, transport);

try {
  await draw();
  // Builds the images, and fills every cache.
  await topologies.deployTopology({ topology: "large" }, patient);
  const plain = await plainCopy();
  await topologies.teardownTopology({ topology: "large" }, patient);
  await measureWhole(plain);
  await measureLive();
} finally {
  for (const topology of ["large", "small"]) await topologies.teardownTopology({ topology }, patient).catch(() => undefined);
  await fleet.teardownFleet({}, patient).catch(() => undefined);
  await execa("docker", ["network", "rm", "decnet_bench"], { reject: false });
  close();
  await master.stop();
  await rm(dataDir, { recursive: true, force: true });
}

async function draw(): Promise<string> {
  await topologies.deleteTopology({ topology: "large" }).catch(() => undefined);
  const settings = { seed: 7, lans, deckies, services: ["http"], subnetBase: "10.88.0.0/16" };
  const { topology } = await topologies.generateTopology({ name: "large", settings }, patient);
  return topology?.id ?? "";
}

async function measureWhole(plain: string): Promise<void> {
  const times = { deploy: [] as number[], up: [] as number[], teardown: [] as number[], down: [] as number[] };
  const compose = (...args: string[]) => execa("docker", ["compose", "-p", "decnet-bench-plain", "-f", plain, ...args]);
  for (let turn = 0; turn < turns; turn += 1) {
    await draw();
    times.deploy.push(await timed(() => topologies.deployTopology({ topology: "large" }, patient)));
    times.teardown.push(await timed(() => topologies.teardownTopology({ topology: "large" }, patient)));
    try {
      times.up.push(await timed(() => compose("up", "-d")));
    } finally {
      times.down.push(await timed(() => compose("down", "-v")));
    }
  }
  const [deploy, up, teardown, down] = [times.deploy, times.up, times.teardown, times.down].map(median) as [
    number,
    number,
    number,
    number,
  ];
  const row = createTable(["deckies", "LANs", "deploy ms", "compose up ms", "ratio", "teardown ms", "compose down ms", "ratio"]);
  row([
    String(deckies),
    String(lans),
    ...[deploy, up].map((value) => value.toFixed(0)),
    (deploy / up).toFixed(2),
    ...[teardown, down].map((value) => value.toFixed(0)),
    (teardown / down).toFixed(2),
  ]);
}

async function measureLive(): Promise<void> {
  const largeId = await draw();
  await topologies.deployTopology({ topology: "large" }, patient);
  const small = await topologies.createTopology({ name: "small" });
  const smallId = small.topology?.id ?? "";
  await topologies.addLan({ topology: "small", name: "dmz", isDmz: true, subnet: "10.89.0.0/24" });
  const attachments = [{ lan: "dmz" }];
  await topologies.addDecky({ topology: "small", name: "only", services: [{ slug: "http" }], attachments, forwards: true });
  await topologies.deployTopology({ topology: "small" }, patient);
  const lan = { name: "decnet_bench", subnet: "10.90.0.0/24" };
  await fleet.applyFleet({ fleet: { lan, deckies: [{ name: "bench-only", services: [{ slug: "http" }] }] } }, patient);
  const middle = `decky-${String(Math.ceil(deckies / 2)).padStart(3, "0")}`;
  const places = [
    { what: "the fleet, of one", decky: { name: "bench-only" }, container: `bench-only-${slug}` },
    { what: "a topology of one", decky: { topologyId: smallId, name: "only" }, container: `${smallId}-only-${slug}` },
    {
      what: `a topology of ${deckies}`,
      decky: { topologyId: largeId, name: middle },
      container: `${largeId}-${middle}-${slug}`,
    },
  ].map((place) => ({ ...place, started: [] as number[], answered: [] as number[] }));
  for (let round = -1; round < rounds; round += 1)
    for (const { decky, container, started, answered } of places) {
      const from = Date.now();
      await mutations.addService({ decky, service: slug }, patient);
      const answeredMs = Date.now() - from;
      const { stdout } = await execa("docker", ["inspect", "--format", "{{.State.StartedAt}}", container]);
      await mutations.removeService({ decky, service: slug }, patient);
      if (round < 0) continue;
      started.push(Date.parse(stdout) - from);
      answered.push(answeredMs);
    }
  const first = places[0] === undefined ? Number.NaN : median(places[0].started);
  const row = createTable([`live AddService in ${" ".repeat(8)}`, "started ms", "listening ms", "started, to the fleet's"]);
  for (const { what, started, answered } of places)
    row([what, median(started).toFixed(0), median(answered).toFixed(0), (median(started) / first).toFixed(2)]);
}

interface PlainFile {
  services: Record<string, Record<string, unknown>>;
  networks: Record<string, unknown>;
  volumes: Record<string, Record<string, unknown>>;
}

/**
 * One compose file with the containers, networks and volumes of all deckies that are deployed, and their files beside it. What
 * makes them ours, the labels, is left out.
 */
async function plainCopy(): Promise<string> {
  const [from, to] = [join(dataDir, "deckies"), join(dataDir, "plain")];
  await mkdir(to);
  await cp(from, to, { recursive: true });
  const plain: PlainFile = { services: {}, networks: {}, volumes: {} };
  for (const base of await readdir(to)) {
    const text = (await readFile(join(to, base, "compose.yaml"), "utf8")).replaceAll(from, to);
    const own = parse(text) as PlainFile & { networks: Record<string, { name: string }> };
    const nameOf = (key: string) => own.networks[key]?.name ?? key;
    for (const { name } of Object.values(own.networks)) plain.networks[name] ??= await networkOf(name);
    for (const [key, { labels: _, ...volume }] of Object.entries(own.volumes ?? {})) plain.volumes[`${base}-${key}`] = volume;
    for (const [key, { labels: _, ...service }] of Object.entries(own.services)) {
      const { networks, network_mode: mode, volumes } = service;
      plain.services[key] = {
        ...service,
        // Compose starts a base before what joins it only if it knows of it.
        ...(typeof mode === "string" ? { network_mode: mode.replace("container:", "service:") } : {}),
        ...(networks === undefined
          ? {}
          : { networks: Object.fromEntries(Object.entries(networks as object).map(([lan, place]) => [nameOf(lan), place])) }),
        volumes: ((volumes ?? []) as { type: string; source: string }[]).map((each) =>
          each.type === "volume" ? { ...each, source: `${base}-${each.source}` } : each,
        ),
      };
    }
  }
  const file = join(to, "compose.yaml");
  await writeFile(file, stringify(plain));
  return file;
}

async function networkOf(name: string): Promise<unknown> {
  const { stdout } = await execa("docker", ["network", "inspect", name]);
  const [network] = JSON.parse(stdout) as { Driver: string; Internal: boolean; IPAM: { Config: { Subnet: string }[] } }[];
  const subnet = network?.IPAM.Config[0]?.Subnet;
  return { name, driver: network?.Driver, internal: network?.Internal, ipam: { config: [{ subnet }] } };
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await act();
  return performance.now() - from;
}
