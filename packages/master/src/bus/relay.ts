import { once } from "node:events";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { createBell } from "@decnet/common/runtime/signal-bell";
import type { OutboxMessage, RelayClaim, RelayStore, RelayTrouble } from "../store/relays.ts";
import { type BusMessage, type Envelope, toMessage, withoutData } from "./cloud-event.ts";
import { type Explained, explain } from "./explain.ts";
import type { BusSender } from "./kafka.ts";

export interface RelayOptions {
  readonly store: RelayStore;
  readonly claim: RelayClaim;
  readonly envelope: Envelope;
  readonly open: () => Promise<BusSender>;
  readonly log: Logger;
  readonly onSent?: (count: number) => void;
  readonly onTrouble?: (why: Explained) => void;
}

export interface Relay {
  /** Something was stored. */
  wake(): void;
  /** Sends what is stored, in its order and again and again until the bus has it, until aborted. */
  run(signal: AbortSignal): Promise<void>;
}

/** Of one send: the largest batch that a broker takes by default is a megabyte, headers and all. */
const mostRows = 1_000;
const mostBytes = 400_000;
/** Until it is looked what other masters stored. */
const pollMs = 500;
const renewMs = 3_000;
const graceMs = 1_000;
const backoff = { baseMs: 200, maxMs: 3_000 };

/**
 * From the outbox to the bus. One batch is on its way at a time; meanwhile the next one is read, and up to where the one before
 * came is remembered: no more is ever in memory.
 * What was sent is remembered after the bus has acknowledged it, so that nothing is lost and some of it may come twice, with the
 * same ids and in the same order: two senders that overlap both begin where everything before was sent.
 */
export function createRelay(options: RelayOptions): Relay {
  const { store, claim, log, onTrouble } = options;
  const bell = createBell();
  let since: string | undefined;

  const tell = async (error: unknown): Promise<void> => {
    const why = explain(error);
    onTrouble?.(why);
    since ??= new Date().toISOString();
    log.warn("events wait: the bus does not take them", { why: why.cause, next: why.next });
    const trouble: RelayTrouble = { cause: why.cause, next: why.next, since };
    await store.noteTrouble(claim, trouble).catch(() => undefined);
  };

  return {
    wake: bell.ring,
    async run(signal) {
      let failures = 0;
      while (!signal.aborted) {
        try {
          const position = await store.take(claim);
          if (position === undefined) await bell.wait(renewMs, signal);
          else
            await holding(store, claim, signal, (held) =>
              serve(options, position, bell.wait, held, () => {
                if (since !== undefined) log.info("the bus takes events again");
                since = undefined;
                failures = 0;
              }),
            );
        } catch (error) {
          if (signal.aborted) break;
          await tell(error);
          // A new event is no reason to try sooner.
          await pause(backoffMs(failures, backoff, Math.random), signal);
          failures += 1;
        }
      }
      await store.release(claim).catch(() => undefined);
    },
  };
}

/** Says again and again that we are there, while something is done; aborts it when somebody else has the place. */
async function holding(
  store: RelayStore,
  claim: RelayClaim,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const lost = new AbortController();
  const renewal = setInterval(() => {
    store.take(claim).then(
      (position) => {
        if (position === undefined) lost.abort();
      },
      // A database that is away is no reason: whoever comes needs it too.
      () => undefined,
    );
  }, renewMs);
  try {
    await work(AbortSignal.any([signal, lost.signal]));
  } finally {
    clearInterval(renewal);
  }
}

/** Made into messages as it is read, while the brokers have the one before. */
interface Batch {
  readonly events: readonly OutboxMessage[];
  readonly messages: readonly BusMessage[];
}

type Wait = (timeoutMs: number, signal: AbortSignal) => Promise<void>;

/** Sends on with one sender, until aborted or until something fails. */
async function serve(
  options: RelayOptions,
  start: string,
  wait: Wait,
  signal: AbortSignal,
  onProgress: () => void,
): Promise<void> {
  const { store, claim, envelope, open, onSent } = options;
  const sender = await open();
  const read = async (after: string): Promise<Batch> => {
    const events = await store.read(after, mostRows, mostBytes);
    return { events, messages: events.map((event) => toMessage(event, envelope)) };
  };
  let ahead: Promise<Batch> | undefined;
  let remembered = Promise.resolve(true);
  const remember = async (position: string, count: number): Promise<boolean> => {
    if (!(await store.advance(claim, position))) return false;
    onProgress();
    onSent?.(count);
    return true;
  };
  try {
    let position = start;
    while (!signal.aborted) {
      const batch = await (ahead ?? read(position));
      ahead = undefined;
      const last = batch.events.at(-1);
      if (last === undefined) {
        if (!(await remembered)) return;
        onProgress();
        await wait(pollMs, signal);
        continue;
      }
      ahead = read(last.position);
      // Its failure is met when it is its turn.
      ahead.catch(() => undefined);
      // Its question leaves before a whole batch is encoded.
      await setImmediate();
      await unlessOver(sendAll(sender, batch, envelope, options.log), signal);
      if (!(await remembered)) return;
      position = last.position;
      remembered = remember(position, batch.events.length);
      remembered.catch(() => undefined);
      if ((await ahead).events.length === 0) ahead = undefined;
    }
  } finally {
    await remembered.catch(() => undefined);
    await sender.close();
  }
}

/** What is too large for the broker in one batch goes in halves; a single event, without its data. */
async function sendAll(sender: BusSender, { events, messages }: Batch, envelope: Envelope, log: Logger): Promise<void> {
  try {
    await sender.send(messages);
  } catch (error) {
    if (explain(error).kind !== "size") throw error;
    const [first, ...others] = events;
    if (first === undefined) return;
    if (others.length === 0) {
      log.error("an event is larger than the bus takes; it goes without its data", { topic: first.topic, event: first.eventId });
      await sender.send([toMessage(withoutData(first), envelope)]);
      return;
    }
    const middle = Math.ceil(events.length / 2);
    const part = (from: number, to?: number): Batch => ({ events: events.slice(from, to), messages: messages.slice(from, to) });
    await sendAll(sender, part(0, middle), envelope, log);
    await sendAll(sender, part(middle), envelope, log);
  }
}

/** A broker that hangs does not keep a master from stopping; what it may have got comes again. */
async function unlessOver(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const isDone = new AbortController();
  const over = once(signal, "abort", { signal: isDone.signal }).then(() => delay(graceMs, undefined, { ref: false }));
  const late = over.then(() => Promise.reject(new Error("the master does not wait for the bus any longer")));
  late.catch(() => undefined);
  await Promise.race([work, late]).finally(() => isDone.abort());
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return createBell().wait(ms, signal);
}
