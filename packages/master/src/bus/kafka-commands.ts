import type { Logger } from "@decnet/common/logging/logger";
import { commandTopics } from "@decnet/contract/bus";
import { CompressionTypes, type Consumer, type EachMessagePayload, type Producer } from "kafkajs";
import { explain } from "./explain.ts";
import { close, connectKafka, ensureTopics, plainProducer, requestMs, withAdmin } from "./kafka.ts";
import type { CommandMessage, CommandRefused } from "./read-command.ts";
import type { BusConfig } from "./settings.ts";

export interface ReceivedMessage extends CommandMessage {
  /** Where it stood, for people. */
  readonly place: string;
}

export interface Receiving {
  readonly onReady: () => void;
  /** One after another. `alive` is called now and then while it takes long. Returns why the message is a dead letter. */
  readonly take: (message: ReceivedMessage, alive: () => Promise<void>) => Promise<CommandRefused | undefined>;
}

/** One that was killed keeps its commands from the others for so long. */
const sessionMs = 10_000;
const waitMs = 500;
const mostBytes = 1 << 20;

/** Receives commands until aborted; throws when the brokers refuse or go away. Masters on one prefix share the partitions. */
export async function receiveCommands(
  config: BusConfig,
  log: Logger,
  signal: AbortSignal,
  { onReady, take }: Receiving,
): Promise<void> {
  const kafka = await connectKafka(config, log);
  await withAdmin(kafka, (admin) => ensureTopics(admin, config));
  const { commands, dead } = commandTopics(config.prefix);
  const consumer = kafka.consumer({
    groupId: `${config.prefix}.masters`,
    sessionTimeout: sessionMs,
    maxWaitTimeInMs: waitMs,
    maxBytes: mostBytes,
    maxBytesPerPartition: mostBytes,
    allowAutoTopicCreation: false,
    retry: { retries: 1, restartOnFailure: async () => false },
  });
  const letters = plainProducer(kafka);
  const over = endOf(consumer, signal);
  const eachMessage = async (payload: EachMessagePayload): Promise<void> => {
    const message = received(payload);
    const refusal = await take(message, payload.heartbeat);
    if (refusal !== undefined) await bury(letters, dead, payload, message.place, refusal);
  };
  try {
    await letters.connect();
    await consumer.connect();
    // What was sent before the first master came is looked at as well; what is too old then says so.
    await consumer.subscribe({ topics: [commands], fromBeginning: true });
    await consumer.run({ autoCommitThreshold: 1, eachMessage });
    onReady();
    await over.happened;
  } finally {
    over.forget();
    await Promise.all([close(consumer), close(letters)]);
  }
}

/** Resolves when aborted, rejects when the consumer gives up. */
function endOf(consumer: Consumer, signal: AbortSignal): { readonly happened: Promise<void>; readonly forget: () => void } {
  const { promise: happened, resolve, reject } = withResolvers();
  happened.catch(() => undefined);
  const unlisten = consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  const abort = () => resolve();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return {
    happened,
    forget() {
      unlisten();
      signal.removeEventListener("abort", abort);
    },
  };
}

function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((done, fail) => {
    resolve = done;
    reject = fail;
  });
  return { promise, resolve, reject };
}

function received({ topic, partition, message }: EachMessagePayload): ReceivedMessage {
  const headers: Record<string, string> = {};
  // Of a header that comes twice, neither says anything.
  for (const [name, value] of Object.entries(message.headers ?? {}))
    if (value !== undefined && !Array.isArray(value)) headers[name] = value.toString();
  return { headers, value: message.value, place: `${topic}/${partition}@${message.offset}` };
}

const mostSaid = 1_000;

/** As it came, with why; when that is too large, without what was in it. */
async function bury(
  letters: Producer,
  topic: string,
  { message }: EachMessagePayload,
  place: string,
  { reason, message: said }: CommandRefused,
): Promise<void> {
  const why = { "decnet-reason": reason, "decnet-message": said.slice(0, mostSaid), "decnet-place": place };
  const headers = Object.fromEntries(Object.entries(message.headers ?? {}).filter(([, value]) => value !== undefined));
  const send = (letter: { key: Buffer | null; value: Buffer | null; headers: Record<string, Buffer | string> }) =>
    letters.send({ topic, acks: -1, timeout: requestMs, compression: CompressionTypes.None, messages: [letter] });
  try {
    await send({ key: message.key, value: message.value, headers: { ...(headers as Record<string, Buffer>), ...why } });
  } catch (error) {
    if (explain(error).kind !== "size") throw error;
    await send({ key: null, value: null, headers: why });
  }
}
