import { readFileSync } from "node:fs";

/** What a server gives to callers at most. */
export interface RpcLimits {
  /** Connections in total. */
  readonly connections: number;
  /** Connections to the TLS port from one address on which nobody has proved who it is. */
  readonly strangersPerAddress: number;
  /** Calls that run on one connection at once. */
  readonly streams: number;
  /** Bytes of all bodies that are being read or worked on, together. */
  readonly pendingBytes: number;
  /** A body has arrived so long after its header, or is cut. */
  readonly bodyMs: number;
  /** A connection without a call is closed after this. */
  readonly idleMs: number;
}

export const defaultLimits: RpcLimits = {
  connections: 4_096,
  strangersPerAddress: 128,
  streams: 250,
  pendingBytes: 64 << 20,
  bodyMs: 30_000,
  idleMs: 600_000,
};

/** Why something was refused under pressure, as it stands in log and metrics. */
export type Pressure =
  | "connections"
  | "connections of strangers"
  | "connections of an address"
  | "calls of strangers"
  | "calls of one connection"
  | "streams of strangers"
  | "joins"
  | "a body that is late"
  | "bytes under way"
  | "responses that are not read";

export type OnPressure = (what: Pressure) => void;

/** What a server of this process may use, whatever was set: the rest is for children, files, the engine and the database. */
export function connectionsWithin(wanted: number, descriptors: number): number {
  return Math.min(wanted, Math.floor(Math.max(descriptors - reserve, descriptors / 2)));
}

const reserve = 512;

/** How many files and connections this process may have open at once; Node.js raises what it may itself. */
export function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined || soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft);
  } catch {
    return fewest;
  }
}

/** What every system gives, when it cannot be read. */
const fewest = 1_024;
