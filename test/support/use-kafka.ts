import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ExecaError, execa } from "execa";
import { eventually } from "./eventually.ts";
import { freePorts } from "./free-ports.ts";

/** As scripts/setup/kafka.sh fetched it. */
const libraries = fileURLToPath(new URL("../../build/tools/kafka/4.1.2", import.meta.url));
/** Without the archive it takes longer to start. */
const archive = [`-XX:SharedArchiveFile=${libraries}/classes.jsa`, "-Xlog:cds=off", "-Xlog:cds+dynamic=off"];
const heap = [...archive, "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const startMs = 90_000;

export interface KafkaOptions {
  /** Brokers, each of which is a controller as well. */
  readonly brokers?: number;
  /** More lines of server.properties. */
  readonly settings?: readonly string[];
  /** The clients' listener: SASL_SSL, for instance, needs settings of its own. */
  readonly protocol?: string;
  /** More arguments for formatting its disk: users of SCRAM. */
  readonly format?: readonly string[];
  /** Where clients are told to go, instead of the broker's own port: a proxy. */
  readonly advertised?: number;
}

export interface KafkaBroker {
  readonly id: number;
  readonly port: number;
  /** Starts it again, on the same port and with what it had. */
  start(): Promise<void>;
  /** SIGTERM lets it hand over what it leads; SIGKILL does not. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Stops it in the middle, as a machine that hangs, and lets it go on. */
  pause(): void;
  resume(): void;
}

export interface Kafka {
  /** For DECNET_KAFKA_BROKERS. */
  readonly brokers: string;
  readonly nodes: readonly KafkaBroker[];
  /** The folder of the first broker: for keys and the like. */
  readonly folder: string;
  dispose(): Promise<void>;
}

/** A real Kafka of the test's own on loopback: one JVM for each broker, without ZooKeeper. */
export async function useKafka({ brokers: count = 1, ...options }: KafkaOptions = {}): Promise<Kafka> {
  await access(join(libraries, ".complete")).catch(() => {
    throw new Error("there is no Kafka here; run: scripts/setup/all.sh --tests");
  });
  const folder = await mkdtemp(join(tmpdir(), "decnet-kafka-"));
  const ports = await freePorts(3 * count);
  const voters = Array.from({ length: count }, (_, at) => `${at + 1}@127.0.0.1:${ports[3 * at + 1]}`).join(",");
  const cluster = "decnetTestClusterAAAAA";
  const nodes = Array.from({ length: count }, (_, at) => {
    const [port = 0, controller = 0, internal = 0] = ports.slice(3 * at);
    const place = { port, controller, internal, folder: join(folder, `${at + 1}`) };
    return createBroker({ ...options, id: at + 1, count, voters, cluster, ...place });
  });
  const dispose = async () => {
    await Promise.all(nodes.map((node) => node.stop("SIGKILL")));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(nodes.map((node) => node.start()));
  } catch (error) {
    await dispose();
    throw error;
  }
  const at = (node: KafkaBroker) => `127.0.0.1:${options.advertised ?? node.port}`;
  return { brokers: nodes.map(at).join(","), nodes, folder, dispose };
}

interface BrokerOptions extends Omit<KafkaOptions, "brokers"> {
  readonly id: number;
  readonly count: number;
  readonly port: number;
  readonly controller: number;
  readonly internal: number;
  readonly voters: string;
  readonly cluster: string;
  readonly folder: string;
}

function createBroker(options: BrokerOptions): KafkaBroker {
  const { id, port, folder, cluster } = options;
  const properties = join(folder, "server.properties");
  const log = join(folder, "broker.log");
  let child: ChildProcess | undefined;

  const format = async () => {
    await execa("mkdir", ["-p", folder]);
    await writeFile(properties, propertiesOf(options));
    const tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", properties, ...(options.format ?? [])];
    await execa("java", [...heap, "-cp", `${libraries}/*`, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", ...tool]);
  };
  const stop = async (signal: "SIGTERM" | "SIGKILL" = "SIGTERM") => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exit = once(running, "exit");
    running.kill(signal);
    // What was paused hears nothing but this.
    if (signal === "SIGKILL") running.kill("SIGCONT");
    const late = setTimeout(() => running.kill("SIGKILL"), 20_000);
    await exit;
    clearTimeout(late);
  };
  return {
    id,
    port,
    async start() {
      if (child !== undefined) return;
      const isNew = await access(properties).then(
        () => false,
        () => true,
      );
      if (isNew) await format();
      const output = await open(log, "w");
      const logging = [
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
      ];
      child = spawn("java", [...heap, "-cp", `${libraries}/*`, ...logging, "kafka.Kafka", properties], {
        stdio: ["ignore", output.fd, output.fd],
      });
      const running = child;
      await output.close();
      try {
        await eventually(async () => {
          if (running.exitCode !== null || running.signalCode !== null) throw new Error("the broker ended");
          return (await readFile(log, "utf8")).includes("Kafka Server started");
        }, startMs);
      } catch (error) {
        const said = (await readFile(log, "utf8")).slice(-2_000);
        await stop("SIGKILL");
        throw new Error(`Kafka did not start: ${said}`, { cause: error });
      }
    },
    stop,
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
  };
}

function propertiesOf(options: BrokerOptions): string {
  const { id, count, port, controller, internal, voters, folder, settings = [] } = options;
  const { protocol = "PLAINTEXT", advertised = port } = options;
  const copies = Math.min(3, count);
  return [
    "process.roles=broker,controller",
    `node.id=${id}`,
    `controller.quorum.voters=${voters}`,
    `listeners=CLIENTS://127.0.0.1:${port},INTERNAL://127.0.0.1:${internal},CONTROLLER://127.0.0.1:${controller}`,
    `advertised.listeners=CLIENTS://127.0.0.1:${advertised},INTERNAL://127.0.0.1:${internal}`,
    `listener.security.protocol.map=CLIENTS:${protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    "inter.broker.listener.name=INTERNAL",
    "controller.listener.names=CONTROLLER",
    `log.dirs=${join(folder, "data")}`,
    "auto.create.topics.enable=false",
    `offsets.topic.replication.factor=${copies}`,
    "offsets.topic.num.partitions=1",
    "group.initial.rebalance.delay.ms=0",
    // The default takes 128 MB at the start.
    "log.cleaner.dedupe.buffer.size=2097152",
    // A broker that was killed waits for its own session to end.
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    ...settings,
    "",
  ].join("\n");
}

/** A message as somebody else's program reads it. */
export interface Read {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: string;
}

/** What kcat printed; nothing when the topic is not there yet: the relay makes topics before its first message. */
export async function printedByKcat(run: Promise<{ readonly stdout: string }>): Promise<string> {
  return run.then(
    ({ stdout }) => stdout,
    (error: unknown) => {
      if (error instanceof ExecaError && /Unknown topic or partition/.test(String(error.stderr))) return "";
      throw error;
    },
  );
}

/** Everything that topics hold now, by kcat; in each partition in its order. */
export async function readTopics(brokers: string, topics: readonly string[], more: readonly string[] = []): Promise<Read[]> {
  const read = async (topic: string): Promise<Read[]> => {
    // Between fields and after messages stands what neither JSON nor a header of ours has.
    const format = "%p\\x1f%o\\x1f%k\\x1f%h\\x1f%s\\x1e";
    // A broker holds an answer back for half a second where nothing is left to read.
    const args = ["-b", brokers, "-X", "fetch.wait.max.ms=20", "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", format];
    const settings = { stdin: "ignore", timeout: 120_000, maxBuffer: 1 << 30 } as const;
    const stdout = await printedByKcat(execa("kcat", [...args, ...more], settings));
    return stdout.split("\x1e").flatMap((message) => {
      if (message === "") return [];
      const [partition, offset, key = "", headers = "", value = ""] = message.split("\x1f");
      return { topic, partition: Number(partition), offset: Number(offset), key, headers: headersOf(headers), value };
    });
  };
  const all = [];
  for (const topic of topics) all.push(...(await read(topic)));
  return all;
}

/** `name=value,name=value`; no header of ours has a comma or an equals sign in its name. */
function headersOf(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  let last = "";
  for (const part of text.split(",")) {
    const [, name = "", value = ""] = /^([a-z_-]+)=(.*)$/s.exec(part) ?? [];
    if (name === "") headers[last] += `,${part}`;
    else {
      headers[name] = value;
      last = name;
    }
  }
  return headers;
}
