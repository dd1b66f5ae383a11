import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import { busTopics, commandTopics } from "@decnet/contract/bus";
import { type Admin, CompressionTypes, Kafka, type KafkaConfig, logLevel, Partitioners, type Producer } from "kafkajs";
import type { BusMessage } from "./cloud-event.ts";
import type { BusConfig, BusSecurity } from "./settings.ts";

/** Takes messages, until something goes wrong: then it is closed, and another one is opened. */
export interface BusSender {
  /** Resolves when the brokers have all of them. One call at a time. */
  send(messages: readonly BusMessage[]): Promise<void>;
  close(): Promise<void>;
}

/** A broker had answered before: it is about whom the request had to go to. */
class AfterAnswer extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
    this.name = "AfterAnswer";
  }
}

const connectMs = 5_000;
export const requestMs = 10_000;
const closeMs = 2_000;
const copies = 3;

/** The one place that knows the client library. */
export async function connectKafka(config: BusConfig, log: Logger): Promise<Kafka> {
  return new Kafka({
    clientId: "decnet-master",
    brokers: [...config.brokers],
    connectionTimeout: connectMs,
    authenticationTimeout: requestMs,
    requestTimeout: requestMs,
    // What failed is said by us, and tried again by us, with a new client; but that nobody answers, only once all were asked.
    retry: { retries: Math.max(1, config.brokers.length - 1), initialRetryTime: 100, maxRetryTime: 500 },
    logLevel: logLevel.WARN,
    logCreator:
      () =>
      ({ log: { message, ...more } }) =>
        log.debug(`kafka: ${message}`, more),
    ...(await securityOf(config)),
  });
}

async function securityOf(config: BusSecurity): Promise<Pick<KafkaConfig, "ssl" | "sasl">> {
  const { isTls, caFile, certificateFile, keyFile, sasl } = config;
  const read = (name: string | undefined) => (name === undefined ? undefined : readFile(name, "utf8"));
  const [ca, cert, key] = await Promise.all([read(caFile), read(certificateFile), read(keyFile)]);
  const ssl = {
    ...(ca === undefined ? {} : { ca: [ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const password = typeof sasl?.password === "object" ? (await readFile(sasl.password.file, "utf8")).trim() : sasl?.password;
  return {
    ...(isTls ? { ssl: Object.keys(ssl).length === 0 ? true : ssl } : {}),
    ...(sasl === undefined || password === undefined
      ? {}
      : { sasl: { mechanism: sasl.mechanism as "plain", username: sasl.username, password } }),
  };
}

/**
 * Connects, and proves that a broker answers: a client of this library says that it is connected also when none does. Topics
 * that are missing are made, when that is allowed.
 */
export async function openSender(config: BusConfig, log: Logger): Promise<BusSender> {
  const kafka = await connectKafka(config, log);
  await withAdmin(kafka, (admin) => ensureTopics(admin, config));
  const producer = plainProducer(kafka);
  try {
    await producer.connect();
  } catch (error) {
    await close(producer);
    throw error;
  }
  return {
    async send(messages) {
      const byTopic = new Map<string, BusMessage[]>();
      for (const message of messages) {
        const known = byTopic.get(message.topic);
        if (known === undefined) byTopic.set(message.topic, [message]);
        else known.push(message);
      }
      const topicMessages = [...byTopic].map(([topic, of]) => ({ topic, messages: of }));
      await producer
        .sendBatch({ acks: -1, timeout: requestMs, compression: CompressionTypes.None, topicMessages })
        .catch((cause: Error) => {
          throw new AfterAnswer(cause);
        });
    },
    close: () => close(producer),
  };
}

export function plainProducer(kafka: Kafka): Producer {
  return kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
    // Not its idempotent producer, which acknowledges what was never stored; and none of its retries: one after a leader has
    // changed leaves out what the new leader should get when that had answered for other partitions already.
    idempotent: false,
    retry: { retries: 0 },
  });
}

/** A client whose broker hangs does not hold us up. */
export async function close(client: Pick<Producer, "disconnect">): Promise<void> {
  await Promise.race([client.disconnect().catch(() => undefined), delay(closeMs, undefined, { ref: false })]);
}

export async function withAdmin<T>(kafka: Kafka, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await work(admin).catch((cause: Error) => {
      throw new AfterAnswer(cause);
    });
  } finally {
    await close(admin);
  }
}

export async function ensureTopics(admin: Admin, config: BusConfig): Promise<void> {
  const { brokers } = await admin.describeCluster();
  const { commands, dead } = commandTopics(config.prefix);
  const wanted = [...busTopics(config.prefix), ...(config.takesCommands ? [commands, dead] : [])];
  const present = new Set(await admin.listTopics());
  const missing = wanted.filter((topic) => !present.has(topic));
  if (missing.length === 0) return;
  if (!config.isCreatingTopics) throw new Error(`topics are missing: ${missing.join(", ")}`);
  const replicationFactor = config.replication === 0 ? Math.min(copies, brokers.length) : config.replication;
  // What is acknowledged is in two places, wherever there are three.
  const safe = replicationFactor >= copies ? [{ name: "min.insync.replicas", value: "2" }] : [];
  await admin.createTopics({
    waitForLeaders: true,
    timeout: requestMs,
    topics: missing.map((topic) => ({ topic, numPartitions: config.partitions, replicationFactor, configEntries: safe })),
  });
}
