import { once } from "node:events";
import { existsSync } from "node:fs";
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Client, createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState, SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { managerOf } from "@decnet/master/store/transaction";
import { testCatalog } from "./catalogs.ts";
import { eventually } from "./eventually.ts";
import type { LongRunningProgram } from "./lab/inside.ts";
import { type Lab, type LabHost, useLab } from "./lab.ts";
import { ownProgram } from "./programs.ts";
import { copyKeys } from "./several-masters.ts";
import { type PostgresServer, usePostgres } from "./use-postgres.ts";
import { createWorker, imagesFor, joinWorker, type Worker } from "./use-swarm.ts";

/** From another machine, over TLS. */
interface Clients {
  readonly mutations: Client<typeof MutationService>;
  readonly fleet: Client<typeof FleetService>;
  readonly operations: Client<typeof OperationService>;
  readonly swarm: Client<typeof SwarmService>;
}

/** The program of a master on a host of its own, whose engine it drives as its own host. */
export interface LabMaster {
  /** Also of its own host. */
  readonly name: string;
  readonly host: LabHost;
  /** Of the run that is there now. */
  readonly clients: Clients;
  /** What all of its runs had to say. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Stops it where it is, and lets it go on from there. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** Workers start no container while it is closed. */
export interface ComposeGate {
  /** What waits at it is of this decky from now on. */
  close(decky: string): Promise<void>;
  /** Somebody waits at it. */
  reached(decky: string): Promise<void>;
  open(decky: string): Promise<void>;
}

export interface LabMasters {
  readonly lab: Lab;
  readonly server: PostgresServer;
  readonly masters: readonly [LabMaster, LabMaster];
  readonly workers: readonly Worker[];
  readonly gate: ComposeGate;
  query<Row>(text: string, parameters?: unknown[]): Promise<Row[]>;
  dispose(): Promise<void>;
}

const tlsPort = 7443;

/**
 * Two masters and two workers, each on a host with an engine of its own, and a database server that is reached by TLS with a
 * password. The first worker joins at the first master, the second one at the second.
 */
export async function useLabMasters(slugs: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<LabMasters> {
  const folder = await mkdtemp(join(tmpdir(), "decnet-lab-masters-"));
  await chmod(folder, 0o711);
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const dispose = async () => {
    for (const act of undo.splice(0).reverse()) await act();
  };
  try {
    const lab = await useLab({ hosts: 4, images: await imagesFor(slugs) });
    undo.push(lab.dispose);
    const server = await usePostgres(lab.masterAddress);
    undo.push(server.dispose);
    const [one, two, ...others] = lab.hosts as [LabHost, LabHost, ...LabHost[]];
    const shared = { DECNET_DATABASE_URL: server.url(), ...env };
    const masters = [createMaster("m1", one, folder, shared), createMaster("m2", two, folder, shared)] as const;
    undo.push(async () => {
      for (const master of masters) master.resume();
      await Promise.all(masters.map((master) => master.stop()));
    });
    await masters[0].start();
    await copyKeys(join(folder, "m1"), join(folder, "m2"));
    let database: Database | undefined;
    undo.push(async () => database?.close());
    const gate = await createGate(folder);
    const workers = others.map((host, at) =>
      createWorker(host, `edge-${at + 1}`, async (name) => {
        const master = masters[at] ?? masters[0];
        return (await master.clients.swarm.getHost({ name }).catch(() => undefined))?.host?.state === HostState.CONNECTED;
      }),
    );
    const start = async (worker: Worker, at: number) => {
      if (at === 1) await masters[1].start();
      undo.push(() => worker.stop("SIGTERM"));
      await joinWorker((masters[at] ?? masters[0]).clients, worker, { env: { DECNET_COMPOSE: gate.program } });
    };
    await Promise.all(workers.map(start));
    return {
      ...{ lab, server, masters, workers, gate, dispose },
      async query<Row>(text: string, parameters: unknown[] = []) {
        database ??= await openDatabase({ url: server.url() });
        return database.read((tx) => managerOf(tx).query(text, parameters)) as Promise<Row[]>;
      },
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function createMaster(name: string, host: LabHost, folder: string, env: Readonly<Record<string, string>>): LabMaster {
  const dataDir = join(folder, name);
  const log: Record<string, unknown>[] = [];
  const noise: string[] = [];
  let program: LongRunningProgram | undefined;
  let close: () => void = () => undefined;
  let clients: Clients | undefined;
  const hasEnded = (of: LongRunningProgram) => of.exitCode !== null || of.signalCode !== null;
  const end = async (signal: NodeJS.Signals) => {
    const mine = program;
    program = undefined;
    close();
    if (mine === undefined || hasEnded(mine)) return;
    const exit = once(mine, "exit");
    mine.kill(signal);
    const late = setTimeout(() => mine.kill("SIGKILL"), 30_000);
    await exit;
    clearTimeout(late);
  };
  return {
    ...{ name, host, log },
    get clients() {
      if (clients === undefined) throw new Error(`${name} has not been started`);
      return clients;
    },
    async start() {
      const mine = host.spawn(process.execPath, ownProgram("master"), {
        ...{ DECNET_DATA_DIR: dataDir, DECNET_HOST_NAME: name, DECNET_DOCKER_SOCKET: host.socket, DECNET_CATALOGUE: testCatalog },
        ...{ DECNET_TLS_HOST: host.address, DECNET_TLS_PORT: String(tlsPort), DECNET_ADVERTISE: `${host.address}:${tlsPort}` },
        ...{ DECNET_DRIFT_INTERVAL_MS: "2000", ...env },
      });
      program = mine;
      const from = log.length;
      for (const input of [mine.stdout, mine.stderr])
        createInterface({ input }).on("line", (line) => {
          if (line.startsWith("{")) log.push(JSON.parse(line) as Record<string, unknown>);
          else noise.push(line);
        });
      await eventually(async () => {
        if (hasEnded(mine)) throw new Error(`${name} ended: ${JSON.stringify(log.at(-1))} ${noise.join("\n")}`);
        return log.slice(from).some(({ msg }) => msg === "master started");
      }, 60_000);
      const { transport, close: closeClient } = createClientTransport({
        address: `https://${host.address}:${tlsPort}`,
        token: (await readFile(join(dataDir, "admin.token"), "utf8")).trim(),
        tls: { caPem: await readFile(join(dataDir, "pki/ca.pem"), "utf8") },
      });
      close = closeClient;
      clients = {
        mutations: createClient(MutationService, transport),
        fleet: createClient(FleetService, transport),
        operations: createClient(OperationService, transport),
        swarm: createClient(SwarmService, transport),
      };
    },
    kill: () => end("SIGKILL"),
    pause: () => void program?.kill("SIGSTOP"),
    resume: () => void program?.kill("SIGCONT"),
    stop: () => end("SIGTERM"),
  };
}

/** A program for DECNET_COMPOSE: waits at the gate of the decky that it is called for, and then is compose itself. */
async function createGate(folder: string): Promise<ComposeGate & { readonly program: string }> {
  const gates = join(folder, "gates");
  await mkdir(gates);
  const program = join(gates, "docker-compose");
  const real = process.env["DECNET_COMPOSE"] ?? (await findCompose());
  const script = [
    "#!/bin/sh",
    'for project; do [ "$before" = -p ] && break; before=$project; done',
    `gate="${gates}/$project"`,
    'if [ -e "$gate.closed" ]; then echo there >> "$gate.reached"; while [ -e "$gate.closed" ]; do sleep 0.05; done; fi',
    `exec ${real} "$@"`,
    "",
  ];
  await writeFile(program, script.join("\n"), { mode: 0o755 });
  const at = (decky: string, what: string) => join(gates, `decnet-${decky}.${what}`);
  return {
    program,
    close: (decky) => appendFile(at(decky, "closed"), ""),
    async reached(decky) {
      await eventually(async () => existsSync(at(decky, "reached")));
      await rm(at(decky, "reached"));
    },
    open: (decky) => rm(at(decky, "closed")),
  };
}

async function findCompose(): Promise<string> {
  for (const folder of ["/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec"]) {
    const file = `${folder}/docker/cli-plugins/docker-compose`;
    if (existsSync(file)) return file;
  }
  throw new Error("docker-compose is not installed");
}
