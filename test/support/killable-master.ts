import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { WebhookService } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import { execa } from "execa";
import { testProgram } from "./programs.ts";
import { placeDatabase } from "./ready-database.ts";

export interface Clients {
  readonly access: Client<typeof AccessService>;
  readonly mutations: Client<typeof MutationService>;
  readonly fleet: Client<typeof FleetService>;
  readonly operations: Client<typeof OperationService>;
  readonly events: Client<typeof EventService>;
  readonly swarm: Client<typeof SwarmService>;
  readonly webhooks: Client<typeof WebhookService>;
}

export interface KillableMaster {
  /** To the master that runs now; their calls fail while there is none. */
  readonly clients: Clients;
  /** Of the master that runs now. */
  readonly port: number;
  readonly token: string;
  /** What the masters had to say, one JSON object a line. */
  readonly log: string;
  /** Ends the master without a word and starts another one in its place. */
  killMaster(): Promise<void>;
  /** Ends the master without a word. */
  kill(): Promise<void>;
  /** Stops the master where it is, and lets it go on from there. */
  pause(): void;
  resume(): void;
  /** Ends the private database without a word: its first process alone, or all of them at once. */
  killDatabase(which: "postmaster" | "all"): Promise<void>;
  stop(): Promise<void>;
}

/** A master in a process of its own, with a private database and an engine that keeps its containers in memory. */
export async function startKillableMaster(dataDir: string, env: Readonly<Record<string, string>>): Promise<KillableMaster> {
  let child: ChildProcess;
  let log = "";
  let clients: Clients;
  let port = 0;
  let token = "";
  let close: () => void = () => undefined;

  const start = async () => {
    child = spawn(process.execPath, testProgram("memory-master.ts"), {
      env: { ...process.env, DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      log += chunk.toString();
    });
    port = await new Promise<number>((resolve, reject) => {
      child.stdout?.once("data", (chunk: Buffer) => resolve((JSON.parse(chunk.toString()) as { port: number }).port));
      child.once("exit", () => reject(new Error(`the master ended before it listened: ${log.slice(-2_000)}`)));
    });
    token = (await readFile(`${dataDir}/admin.token`, "utf8")).trim();
    const client = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
    close = client.close;
    clients = {
      access: createClient(AccessService, client.transport),
      mutations: createClient(MutationService, client.transport),
      fleet: createClient(FleetService, client.transport),
      operations: createClient(OperationService, client.transport),
      events: createClient(EventService, client.transport),
      swarm: createClient(SwarmService, client.transport),
      webhooks: createClient(WebhookService, client.transport),
    };
  };
  const end = async (signal: NodeJS.Signals) => {
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
    close();
  };

  if (env["DECNET_DATABASE_URL"] === undefined) await placeDatabase(dataDir);
  await start();
  return {
    get clients() {
      return clients;
    },
    get port() {
      return port;
    },
    get token() {
      return token;
    },
    get log() {
      return log;
    },
    async killMaster() {
      await end("SIGKILL");
      await start();
    },
    async killDatabase(which) {
      const [pid = ""] = (await readFile(`${dataDir}/postgres/data/postmaster.pid`, "utf8")).split("\n");
      const { stdout } = await execa("ps", ["-o", "pid=", "--ppid", pid], { reject: false });
      const children = which === "all" ? stdout.split("\n").filter((line) => line !== "") : [];
      for (const each of [pid, ...children]) kill(Number(each));
    },
    kill: () => end("SIGKILL"),
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) await end("SIGTERM");
    },
  };
}

/** One that has ended by itself meanwhile is as good as killed. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
