import { readFile } from "node:fs/promises";
import { notObserved, unlessAbsentLater } from "./not-observed.ts";
import type { Session } from "./observed.ts";

const tables = ["tcp", "tcp6", "udp", "udp6"] as const;
type Table = (typeof tables)[number];

const tcpListen = "0A";
const tcpEstablished = "01";
/** UDP sockets that are bound and not connected. */
const udpBound = "07";

/** A socket that waits for whoever comes. */
export interface Listener {
  /** `22/tcp` */
  readonly port: string;
  /** Empty: every address. */
  readonly address: string;
  /** Bound to an address that only the decky itself reaches. */
  readonly isLocal: boolean;
  readonly inode: string;
}

export interface SocketTables {
  readonly listeners: readonly Listener[];
  readonly sessions: readonly Session[];
}

/**
 * Reads which ports listen, and which TCP sessions are open, in the network namespace of a process. No packet is sent. Undefined
 * when the process has ended.
 */
export async function readSocketTables(pid: number): Promise<SocketTables | undefined> {
  const texts = await Promise.all(tables.map((table) => unlessAbsentLater(() => readFile(`/proc/${pid}/net/${table}`, "utf8"))));
  // A kernel without IPv6 lacks two of them; a process that is gone has none.
  if (texts[0] === undefined) return undefined;
  const parsed = tables.map((table, index) => parseSocketTable(table, texts[index]));
  const listeners = parsed.flatMap((table) => table.listeners);
  const listening = new Set(listeners.map(({ port }) => port));
  const sessions = parsed.flatMap((table) => table.sessions).filter(({ port, protocol }) => listening.has(`${port}/${protocol}`));
  return { listeners, sessions };
}

/** Throws NOT_OBSERVED for a table that was cut off: what it lacks may be there. */
export function parseSocketTable(table: Table, text: string | undefined): { listeners: Listener[]; sessions: Session[] } {
  const listeners: Listener[] = [];
  const sessions: Session[] = [];
  if (text === undefined) return { listeners, sessions };
  if (!/^\s*sl\s/.test(text) || !text.endsWith("\n")) throw notObserved(`the table of ${table} sockets is cut off`);
  const protocol = table.startsWith("tcp") ? "tcp" : "udp";
  for (const line of text.trimEnd().split("\n").slice(1)) {
    const [, local = "", remote = "", state, , , , , , inode] = line.trim().split(/\s+/);
    const port = Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16);
    if (Number.isNaN(port) || inode === undefined) throw notObserved(`the table of ${table} sockets is cut off`);
    if (protocol === "tcp" ? state === tcpListen : state === udpBound)
      listeners.push({ port: `${port}/${protocol}`, address: addressOf(local), isLocal: isLoopback(local), inode });
    else if (protocol === "tcp" && state === tcpEstablished) sessions.push({ protocol, port, peer: parsePeer(remote) });
  }
  return { listeners, sessions };
}

/** Empty for every address. */
function addressOf(local: string): string {
  const peer = parsePeer(local);
  const address = peer.slice(0, peer.lastIndexOf(":"));
  return address === "0.0.0.0" || address === "[::]" ? "" : address;
}

/** 127.0.0.0/8, also as an IPv6 address, and ::1. */
function isLoopback(local: string): boolean {
  return /^(0{16}FFFF0000)?[0-9A-F]{6}7F:/.test(local) || /^0{24}01000000:/.test(local);
}

/** The kernel prints addresses as 32-bit words in host order: little-endian on every machine that we run on. */
function parsePeer(text: string): string {
  const [address = "", port = "0"] = text.split(":");
  const bytes = (address.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((hex) => Number.parseInt(hex, 16)),
  );
  const peerPort = Number.parseInt(port, 16);
  const isMapped =
    bytes.length === 16 && bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (bytes.length === 4 || isMapped) return `${bytes.slice(-4).join(".")}:${peerPort}`;
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0)).toString(16),
  );
  return `[${groups.join(":").replace(/(^|:)0(:0)+(:|$)/, "::")}]:${peerPort}`;
}
