import { readFile } from "node:fs/promises";
import type { ObservedSockets, Session } from "./observed.ts";

const tcpListen = "0A";
const tcpEstablished = "01";
/** UDP sockets that are bound and not connected. */
const udpBound = "07";

/** Reads which ports listen, and which TCP sessions are open, in the network namespace of a process. No packet is sent. */
export async function observeSockets(pid: number): Promise<ObservedSockets> {
  const tables = await Promise.all(
    (["tcp", "tcp6", "udp", "udp6"] as const).map(async (table) => parseSocketTable(table, await readTable(pid, table))),
  );
  const listening = new Set(tables.flatMap((table) => table.listening));
  const sessions = tables
    .flatMap((table) => table.sessions)
    .filter((session) => listening.has(`${session.port}/${session.protocol}`));
  return { listening, sessions };
}

export const noSockets: ObservedSockets = { listening: new Set(), sessions: [] };

async function readTable(pid: number, table: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/net/${table}`, "utf8");
  } catch {
    // No IPv6 on this host, or the process just ended: no sockets to see.
    return "";
  }
}

export function parseSocketTable(
  table: "tcp" | "tcp6" | "udp" | "udp6",
  text: string,
): { listening: string[]; sessions: Session[] } {
  const protocol = table.startsWith("tcp") ? "tcp" : "udp";
  const listening: string[] = [];
  const sessions: Session[] = [];
  for (const line of text.split("\n").slice(1)) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || state === undefined) continue;
    const port = Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16);
    if (protocol === "tcp" ? state === tcpListen : state === udpBound) listening.push(`${port}/${protocol}`);
    else if (protocol === "tcp" && state === tcpEstablished) sessions.push({ protocol, port, peer: parsePeer(remote) });
  }
  return { listening, sessions };
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
