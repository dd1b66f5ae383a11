import type net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { backoffMs } from "@decnet/common/runtime/backoff";
import pg from "pg";

export type DatabaseAddress =
  | {
      readonly url: string;
      /** Authorities that this process trusts besides the usual ones: of NODE_EXTRA_CA_CERTS. Other programs have to be told. */
      readonly extraRootsFile?: string | undefined;
    }
  | { readonly socketFolder: string; readonly database: string; readonly user: string };

/** What a connection that only listens tells. */
export interface Hearing {
  /** Of another master: what is said, and about what. */
  onWord(words: readonly string[]): void;
  /** It listens, for the first time or again: what was said before was not heard. */
  onBegin(): void;
}

export interface HearOptions {
  readonly connection: pg.ClientConfig;
  readonly application: string;
  readonly connectMs: number;
  readonly stream: () => net.Socket;
}

const pauses = { baseMs: 100, maxMs: 2_000 };
/** A connection that is gone without a word is found out by this. */
const checkMs = 10_000;

export function addressOf(address: DatabaseAddress): { readonly connection: pg.ClientConfig } {
  if ("url" in address) return { connection: { connectionString: address.url } };
  const { socketFolder, database, user } = address;
  return { connection: { host: socketFolder, database, user } };
}

/** One connection that hears what masters say to each other, made again whenever it breaks, until aborted. */
export async function hear(options: HearOptions, hearing: Hearing, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const since = performance.now();
    await hearOnce(options, hearing, signal).catch(() => undefined);
    failures = performance.now() - since > checkMs ? 0 : failures + 1;
    await delay(backoffMs(failures, pauses, Math.random), undefined, { signal }).catch(() => undefined);
  }
}

async function hearOnce(
  { connection, application, connectMs, stream }: HearOptions,
  hearing: Hearing,
  signal: AbortSignal,
): Promise<void> {
  const client = new pg.Client({
    ...connection,
    application_name: application,
    connectionTimeoutMillis: connectMs,
    query_timeout: connectMs,
    keepAlive: true,
    stream,
  });
  const over = new AbortController();
  const end = () => over.abort();
  client.on("error", end).on("end", end);
  client.on("notification", ({ payload = "" }) => {
    const [speaker, ...words] = payload.split(" ");
    if (speaker !== application.replaceAll(" ", "/")) hearing.onWord(words);
  });
  signal.addEventListener("abort", end, { once: true });
  try {
    await client.connect();
    await client.query("LISTEN decnet");
    hearing.onBegin();
    while (!over.signal.aborted) {
      await delay(checkMs, undefined, { signal: over.signal }).catch(() => undefined);
      if (!over.signal.aborted) await client.query("SELECT 1");
    }
  } finally {
    signal.removeEventListener("abort", end);
    await Promise.race([client.end().catch(() => undefined), delay(500, undefined, { ref: false })]);
  }
}
