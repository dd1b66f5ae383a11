import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createLogger, type Logger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { type Operation, OperationService, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { TopologyService } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { WebhookService } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";
import { type MasterConfig, parseMasterConfig } from "@decnet/master/config";
import { type Master, type MasterOptions, startMaster } from "@decnet/master/start-master";
import { execa } from "execa";
import { expect } from "vitest";
import { containersOf, idsOf, pidOf, subnetsOfEngine, volumesOf } from "./ask-engine.ts";
import { ownCatalog, testCatalog } from "./catalogs.ts";
import { eventually } from "./eventually.ts";
import { placeDatabase } from "./ready-database.ts";

export { containersOf, eventually };

export interface TestMaster {
  readonly config: MasterConfig;
  readonly port: number;
  readonly token: string;
  /** Starts every name that this test makes on the engine. */
  readonly prefix: string;
  readonly lan: { name: string; subnet: string };
  readonly mutations: Client<typeof MutationService>;
  readonly fleet: Client<typeof FleetService>;
  readonly operations: Client<typeof OperationService>;
  readonly events: Client<typeof EventService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly access: Client<typeof AccessService>;
  readonly swarm: Client<typeof SwarmService>;
  readonly topologies: Client<typeof TopologyService>;
  readonly webhooks: Client<typeof WebhookService>;
  /** Undefined unless DECNET_TLS_HOST was set. */
  readonly tlsPort: number | undefined;
  /** Stops the master gracefully and starts it again; its clients are new ones then, the TLS port stays. */
  restart(meanwhile?: () => Promise<void>): Promise<void>;
  /** Stops the master and removes everything that the test made. */
  dispose(): Promise<void>;
}

export interface Place {
  /** Removes everything that the test made, and fails when something of it is still there. */
  dispose(): Promise<void>;
  readonly dataDir: string;
  readonly prefix: string;
  readonly lan: { name: string; subnet: string };
}

/** A data folder, a name prefix and a network of the test's own. */
export async function usePlace(): Promise<Place> {
  const dataDir = await mkdtemp(join(tmpdir(), "decnet-test-"));
  await chmod(dataDir, 0o711);
  const prefix = `t${process.env["DECNET_TEST_RUN"] ?? ""}${randomBytes(2).toString("hex")}`;
  const lan = { name: `${prefix}-lan`, subnet: await freeSubnet() };
  const dispose = async () => {
    const names = await idsOf(prefix);
    if (names.length > 0) await execa("docker", ["rm", "-f", ...names]);
    const volumes = await volumesOf(`decnet_${prefix}`);
    if (volumes.length > 0) await execa("docker", ["volume", "rm", "-f", ...volumes]);
    await execa("docker", ["network", "rm", lan.name], { reject: false });
    await removeRules(dataDir, prefix);
    await rm(dataDir, { recursive: true, force: true });
    expect(await idsOf(prefix)).toEqual([]);
    expect(await volumesOf(`decnet_${prefix}`)).toEqual([]);
  };
  return { dataDir, prefix, lan, dispose };
}

/**
 * The tables of the packet filter of the installation with this data folder, also of one that was killed while it made them, and
 * of an engine that a test opened under its own name.
 */
export async function removeRules(dataDir: string, prefix: string): Promise<void> {
  const text = await readFile(join(dataDir, "installation.json"), "utf8").catch(() => "");
  const id = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(text)?.[0];
  for (const instance of id === undefined ? [prefix] : [id, prefix])
    for (const table of [`inet decnet-${instance}`, `ip decnet-published-${instance}`])
      await execa("nft", ["delete", "table", ...table.split(" ")], { reject: false });
}

const subnets = 250;
/** More than there are test files that run side by side. */
const workers = 10;

/** One of 10.77.0.0/16 that no network of the engine has; test files that run side by side look at different ones. */
async function freeSubnet(): Promise<string> {
  const taken = new Set(await subnetsOfEngine());
  const start = (randomBytes(1)[0] ?? 0) * workers;
  const worker = Number(process.env["VITEST_POOL_ID"] ?? "0") % workers;
  for (let step = 0; step < subnets; step += workers) {
    const third = ((start + step) % subnets) + worker;
    const subnet = `10.77.${third}.0/24`;
    if (!taken.has(subnet)) return subnet;
  }
  throw new Error("every subnet of this worker of the tests is taken");
}

export function configFor(place: Place, more: Record<string, string> = {}): MasterConfig {
  const env = {
    DECNET_DATA_DIR: place.dataDir,
    DECNET_PORT: "0",
    DECNET_LOG_LEVEL: "error",
    DECNET_DRIFT_INTERVAL_MS: "1000",
    DECNET_CATALOGUE: testCatalog,
    DECNET_DOCKER_SOCKET: process.env["DECNET_DOCKER_SOCKET"],
    DECNET_COMPOSE: process.env["DECNET_COMPOSE"],
    ...more,
  };
  return parseMasterConfig(env, ownCatalog);
}

export interface TestMasterOptions {
  readonly boundary?: StepBoundary;
  readonly env?: Record<string, string>;
  readonly log?: Logger;
  /** Undefined: one on the real engine. */
  readonly place?: Place;
  /** Undefined: the real engine. */
  readonly openHostEngine?: NonNullable<MasterOptions["openHostEngine"]>;
}

/** A real master in this process: real engine, real PostgreSQL, clients over a real connection. */
export async function useMaster(options: TestMasterOptions = {}): Promise<TestMaster> {
  const place = options.place ?? (await usePlace());
  const config = configFor(place, options.env);
  let master: Master;
  let close: () => void = () => undefined;
  const test: Partial<Record<keyof TestMaster, unknown>> = { config, prefix: place.prefix, lan: place.lan };
  const start = async (tlsPort?: number) => {
    master = await startMaster({
      config: tlsPort === undefined || config.tls === undefined ? config : { ...config, tls: { ...config.tls, port: tlsPort } },
      log: options.log ?? createLogger("test", "error"),
      version: "test",
      ...(options.boundary === undefined ? {} : { boundary: options.boundary }),
      ...(options.openHostEngine === undefined ? {} : { openHostEngine: options.openHostEngine }),
    });
    const token = (await readFile(config.adminTokenFile, "utf8")).trim();
    const client = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
    close = client.close;
    const to = <Service extends DescService>(service: Service) => createClient(service, client.transport);
    Object.assign(test, {
      port: master.port,
      token,
      mutations: to(MutationService),
      fleet: to(FleetService),
      operations: to(OperationService),
      events: to(EventService),
      catalog: to(CatalogService),
      access: to(AccessService),
      swarm: to(SwarmService),
      topologies: to(TopologyService),
      webhooks: to(WebhookService),
      tlsPort: master.tlsPort,
    });
  };
  const stop = async () => {
    close();
    await master.stop();
  };
  test.restart = async (meanwhile?: () => Promise<void>) => {
    const { tlsPort } = master;
    await stop();
    try {
      await meanwhile?.();
    } finally {
      await start(tlsPort);
    }
  };
  test.dispose = async () => {
    await stop();
    await place.dispose();
  };
  if (config.databaseUrl === undefined) await placeDatabase(config.dataDir);
  await start();
  return test as TestMaster;
}

/** Deploys deckies `<prefix>-<name>` and waits until they run. */
export async function deploy(master: TestMaster, deckies: Record<string, string[]>): Promise<void> {
  const { operation } = await master.fleet.applyFleet({
    fleet: {
      lan: master.lan,
      deckies: Object.entries(deckies).map(([name, services]) => ({
        name: `${master.prefix}-${name}`,
        services: services.map((slug) => ({ slug })),
      })),
    },
  });
  await untilDone(master, operation);
}

/** An engine that takes its time to answer on a busy machine is away: what waits for it is done as soon as it is back. */
async function untilDone({ operations }: TestMaster, operation: Operation | undefined): Promise<void> {
  const id = operation?.id ?? "";
  // Nothing was to be done.
  if (id === "") return;
  let last = operation;
  await eventually(async () => {
    if ((last?.state ?? 0) > OperationState.RUNNING) return true;
    last = (await operations.getOperation({ id })).operation;
    return false;
  }, 60_000);
  if (last?.state !== OperationState.SUCCEEDED) throw new Error(`the deploy has not succeeded: ${last?.error?.message}`);
}

/**
 * Deploys one more decky, `<prefix>-<name>`, waits until it runs and returns its reference. Those that are there stay as they
 * are.
 */
export async function deployBeside(
  master: TestMaster,
  name: string,
  services: Readonly<Record<string, Readonly<Record<string, string | number>>>>,
): Promise<{ name: string }> {
  const decky = { name: `${master.prefix}-${name}` };
  const { deckies: present } = await master.fleet.listDeckies({ pageSize: 1_000 });
  const others = present.map((other) => ({
    name: other.ref?.name ?? "",
    services: other.services.map(({ slug, config }) => ({ slug, ...(config === undefined ? {} : { config }) })),
  }));
  const wanted = Object.entries(services).map(([slug, config]) => ({ slug, config }));
  const fleet = { lan: master.lan, deckies: [...others, { ...decky, services: wanted }] };
  await untilDone(master, (await master.fleet.applyFleet({ fleet })).operation);
  return decky;
}

export async function dockerLines(args: string[]): Promise<string[]> {
  return (await execa("docker", args)).stdout.split("\n").filter((line) => line !== "");
}

/** Runs a command inside the network namespace of a container. */
export async function inside(container: string, file: string, args: string[]) {
  const pid = await pidOf(container);
  return execa("nsenter", ["-t", String(pid), "-n", file, ...args], { reject: false, timeout: 20_000, stdin: "ignore" });
}
