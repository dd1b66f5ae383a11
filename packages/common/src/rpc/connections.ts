import type net from "node:net";
import { createStrangersRates } from "./bare-calls.ts";
import type { Connection, Port } from "./connection.ts";
import { createCrowd, createExpected } from "./crowd.ts";
import type { OnPressure, RpcLimits } from "./limits.ts";
import { sourceOf } from "./source.ts";

export interface ConnectionCounts {
  readonly known: number;
  readonly strangers: number;
}

export interface Connections {
  /** Undefined: there is no room for it, and it was cut. */
  admit(socket: net.Socket, port: Port): Connection | undefined;
  counts(): ConnectionCounts;
  /** Whether somebody from there proved who he is, not long ago, or is to be taken for one who did. */
  isExpected(source: string): boolean;
  close(): void;
}

/** A stranger may try so many credentials on one connection. */
const mostRefusals = 20;
const strangerIdleMs = 15_000;
const sweepMs = 1_000;
/** One that was opened a moment ago is not idle yet. */
const freshMs = 1_000;
/** Strangers may have this part of all connections. */
const partOfStrangers = 4;

interface Entry {
  readonly socket: net.Socket;
  readonly source: string;
  readonly port: Port;
  who: string | undefined;
  calls: number;
  quietSince: number;
  isHandedOver: boolean;
  isEnding: boolean;
  isExpelled: boolean;
  end: () => void;
}

export interface ConnectionsOptions {
  /**
   * Hears of the source of each connection to the TLS port that was cut for what was done on it. "expected": somebody who is
   * known may come from there as well.
   */
  readonly onExpelled?: (source: string, kind: "strange" | "expected") => void;
  /** Addresses of those who are known from an earlier time. */
  readonly expected?: readonly string[];
  /** What one call without a credential costs of what there may be of them. */
  readonly cost?: (isExpected: boolean) => number;
}

export function createConnections(
  limits: RpcLimits,
  onPressure: OnPressure,
  { onExpelled = () => undefined, expected: known = [], cost = () => 1 }: ConnectionsOptions = {},
): Connections {
  const all = new Set<Entry>();
  const strangers = { plaintext: createCrowd<Entry>(), tls: createCrowd<Entry>() };
  const expected = createExpected(known);
  const rates = createStrangersRates();
  /** How many connections each of those has who proved who he is. */
  const proven = new Map<string, number>();
  const mostStrangers = Math.max(8, Math.floor(limits.connections / partOfStrangers));

  const forget = (entry: Entry) => {
    if (!all.delete(entry)) return;
    strangers[entry.port].remove(entry);
    if (entry.who !== undefined) count(entry.who, -1);
  };
  const count = (who: string, change: number) => {
    const next = (proven.get(who) ?? 0) + change;
    if (next === 0) proven.delete(who);
    else proven.set(who, next);
  };
  const cut = (entry: Entry) => {
    forget(entry);
    entry.socket.destroy();
  };
  const cutOneOf = (entries: Iterable<Entry>) => {
    const victim = leastMissed(entries);
    if (victim !== undefined) cut(victim);
  };
  /** Of the TLS port, if there are any: whoever comes to the other one is on this machine. The expected ones come last. */
  const crowd = (): Iterable<Entry> | undefined =>
    strangers.tls.largest((source) => !expected.has(source)) ?? strangers.tls.largest() ?? strangers.plaintext.largest();

  const makeRoom = (entry: Entry): boolean => {
    if (all.size >= limits.connections) {
      onPressure("connections");
      const victims = crowd();
      if (victims === undefined) return false;
      cutOneOf(victims);
    }
    if (entry.port !== "tls") return true;
    const same = strangers.tls.of(entry.source);
    if (same !== undefined && same.size >= limits.strangersPerAddress) {
      onPressure("connections of an address");
      cutOneOf(same);
    } else if (strangers.tls.count() >= mostStrangers) {
      onPressure("connections of strangers");
      cutOneOf(crowd() ?? []);
    }
    return true;
  };

  const sweep = () => {
    const now = performance.now();
    rates.forget();
    for (const entry of all) {
      const idleMs = entry.who === undefined ? Math.min(strangerIdleMs, limits.idleMs) : limits.idleMs;
      if (entry.calls > 0 || entry.isHandedOver || now - entry.quietSince < idleMs) continue;
      if (entry.isEnding) cut(entry);
      else {
        entry.isEnding = true;
        entry.end();
      }
    }
  };
  const timer = setInterval(sweep, sweepMs).unref();

  const wrap = (entry: Entry): Connection =>
    wrapConnection(entry, {
      prove(who, most) {
        if (!all.has(entry) || (proven.get(who) ?? 0) >= most) return false;
        strangers[entry.port].remove(entry);
        count(who, 1);
        // Operators on loopback say nothing about who else comes from there.
        if (entry.port === "tls") expected.add(entry.source);
        return true;
      },
      takes: (kind) => rates.take(entry.port, kind, entry.source, cost(expected.has(entry.source))),
      expel() {
        if (entry.isExpelled) return;
        entry.isExpelled = true;
        cut(entry);
        if (entry.port === "tls") onExpelled(entry.source, expected.has(entry.source) ? "expected" : "strange");
      },
    });

  return {
    admit(socket, port) {
      const entry = createEntry(socket, port);
      // Nothing else may listen yet, and a connection that is reset tells it as an error.
      socket.on("error", () => socket.destroy());
      if (!makeRoom(entry)) {
        socket.destroy();
        return undefined;
      }
      all.add(entry);
      strangers[entry.port].add(entry);
      socket.once("close", () => forget(entry));
      return wrap(entry);
    },
    counts: () => {
      const strange = strangers.plaintext.count() + strangers.tls.count();
      return { known: all.size - strange, strangers: strange };
    },
    isExpected: expected.has,
    close: () => clearInterval(timer),
  };
}

function createEntry(socket: net.Socket, port: Port): Entry {
  return {
    socket,
    source: sourceOf(socket.remoteAddress),
    port,
    who: undefined,
    calls: 0,
    quietSince: performance.now(),
    isHandedOver: false,
    isEnding: false,
    isExpelled: false,
    end: () => socket.destroy(),
  };
}

/** What one connection needs of all of them. */
interface Surroundings {
  /** False: there are so many of that one already, or it is cut. */
  prove(who: string, most: number): boolean;
  takes(kind: "bare" | "guess"): boolean;
  expel(): void;
}

function wrapConnection(entry: Entry, around: Surroundings): Connection {
  const listeners: (() => void)[] = [];
  let refusals = 0;
  let tell: () => void = () => undefined;
  return {
    source: entry.source,
    port: entry.port,
    line: `${entry.port} ${entry.source}`,
    isProven: () => entry.who !== undefined,
    owner: () => entry.who ?? `${entry.port} ${entry.source}`,
    prove(who, most) {
      if (entry.who === undefined && around.prove(who, most)) {
        entry.who = who;
        for (const listener of listeners.splice(0)) listener();
      }
      tell();
    },
    begin() {
      entry.calls += 1;
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        entry.calls -= 1;
        entry.quietSince = performance.now();
      };
    },
    takesBareCall: () => entry.who !== undefined || around.takes("bare"),
    takesTry: () => refusals === 0 || entry.who !== undefined || around.takes("guess"),
    wasRefused() {
      refusals += 1;
      tell();
      if (entry.who === undefined && refusals > mostRefusals) around.expel();
    },
    opened(end) {
      entry.end = end;
    },
    onProven: (listener) => void listeners.push(listener),
    onVerdict(listener) {
      tell = listener;
    },
    handOver() {
      entry.isHandedOver = true;
    },
    expel: around.expel,
    isExpelled: () => entry.isExpelled,
  };
}

/** Of those strangers, the one that is missed least: idle before busy, old before new. */
function leastMissed(entries: Iterable<Entry>): Entry | undefined {
  const now = performance.now();
  let first: Entry | undefined;
  for (const entry of entries) {
    first ??= entry;
    if (entry.calls === 0 && now - entry.quietSince > freshMs) return entry;
  }
  return first;
}
