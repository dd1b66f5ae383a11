import { randomBytes } from "node:crypto";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import tls from "node:tls";
import { encodeFields, frame, greeting } from "./odd-openings.ts";

/** Where a master listens. */
export interface Target {
  readonly port: number;
  readonly tlsPort: number;
}

/** Something that a hostile caller does to a master, without a credential, until it is told to stop. */
export interface Attack {
  readonly name: string;
  /** Resolves when it is under way; goes on by itself until aborted. */
  begin(target: Target, stopping: AbortSignal): Promise<void>;
}

type Protocol = "h2" | "http/1.1";
const paths = ["/decnet.v1.FleetService/ApplyFleet", "/grpc.health.v1.Health/Check", "/nothing/here"];
const check = "/grpc.health.v1.Health/Check";

/** A connection of an attacker: whatever happens to it is no news. */
function hold<Socket extends net.Socket>(socket: Socket, stopping: AbortSignal): Socket {
  const end = () => socket.destroy();
  // It waits for its end in each turn in which it cannot write.
  socket.setMaxListeners(0).on("error", () => undefined);
  stopping.addEventListener("abort", end, { once: true });
  socket.once("close", () => stopping.removeEventListener("abort", end));
  return socket;
}

/** Resolves when it is up, or was refused. */
async function dialTls({ tlsPort }: Target, protocol: Protocol, stopping: AbortSignal): Promise<tls.TLSSocket> {
  const socket = hold(
    tls.connect({ host: "127.0.0.1", port: tlsPort, rejectUnauthorized: false, ALPNProtocols: [protocol] }),
    stopping,
  );
  await new Promise((resolve) => socket.once("secureConnect", resolve).once("close", resolve));
  socket.resume();
  return socket;
}

function dialPlain({ port }: Target, stopping: AbortSignal): net.Socket {
  return hold(net.connect(port, "127.0.0.1"), stopping).resume();
}

const head = (path: string, stream: number, more: readonly (readonly [string, string])[] = []) =>
  frame(
    1,
    4,
    stream,
    encodeFields([
      [":method", "POST"],
      [":scheme", "https"],
      [":path", path],
      [":authority", "a"],
      ["content-type", "application/grpc+proto"],
      ...more,
    ]),
  );
const message = (payload: Buffer) => {
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(payload.length, 1);
  return Buffer.concat([envelope, payload]);
};
const range = (count: number) => Array.from({ length: count }, (_, index) => index);

/** Connections that come back whenever they are cut, so many at once, until it is over. It is under way after a second. */
async function keepBusy(count: number, stopping: AbortSignal, once: (index: number) => Promise<unknown>): Promise<void> {
  const work = async (index: number) => {
    while (!stopping.aborted) {
      await once(index).catch(() => undefined);
      // One that is refused at once is tried again a little later: an attacker has two cores, too.
      await delay(20);
    }
  };
  for (const index of range(count)) void work(index);
  await delay(1_000);
}

const closed = (socket: net.Socket) => new Promise((resolve) => socket.once("close", resolve));

/** Fifty streams on a connection, each with a body of four megabytes that is never finished. */
const bodiesOverHttp2: Attack = {
  name: "bodies without end, HTTP/2",
  begin: (target, stopping) =>
    keepBusy(4, stopping, async () => {
      const socket = await dialTls(target, "h2", stopping);
      socket.write(greeting);
      // An attacker does not wait to be given room: it takes all that the connection offers.
      for (const index of range(50)) socket.write(head(paths[index % paths.length] ?? "", 2 * index + 1));
      const piece = frame(0, 0, 0, Buffer.alloc(16_000));
      for (const round of range(250))
        for (const index of range(50)) {
          if (socket.destroyed || stopping.aborted) return;
          piece.writeUInt32BE(2 * index + 1, 5);
          if (!socket.write(Buffer.from(piece))) await Promise.race([delay(200), closed(socket)]);
          if (round === 0) await delay(1);
        }
      await closed(socket);
    }),
};

const bodiesOverHttp1: Attack = {
  name: "bodies without end, HTTP/1",
  begin: (target, stopping) =>
    keepBusy(100, stopping, async (index) => {
      const socket = await dialTls(target, "http/1.1", stopping);
      const path = paths[index % paths.length] ?? "";
      socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n`);
      for (const _ of range(60)) {
        if (socket.destroyed) return;
        if (!socket.write(Buffer.alloc(64_000, 0x20))) await Promise.race([delay(200), closed(socket)]);
      }
      await closed(socket);
    }),
};

const streams: Attack = {
  name: "streams that watch",
  begin: (target, stopping) =>
    keepBusy(4, stopping, async () => {
      const socket = await dialTls(target, "h2", stopping);
      socket.write(greeting);
      for (const index of range(5_000)) {
        if (socket.destroyed || stopping.aborted) return;
        const stream = 2 * index + 1;
        const bytes = Buffer.concat([
          head("/grpc.health.v1.Health/Watch", stream),
          frame(0, 1, stream, message(Buffer.alloc(0))),
        ]);
        if (!socket.write(bytes)) await Promise.race([delay(50), closed(socket)]);
      }
      await closed(socket);
    }),
};

const idle: Attack = {
  name: "idle connections",
  begin: (target, stopping) =>
    keepBusy(20, stopping, async (index) => {
      for (const _ of range(100)) {
        if (stopping.aborted) return;
        await dialTls(target, index % 2 === 0 ? "h2" : "http/1.1", stopping);
      }
      await new Promise((resolve) => stopping.addEventListener("abort", resolve, { once: true }));
    }),
};

const silent: Attack = {
  name: "connections without a word",
  async begin({ port, tlsPort }, stopping) {
    for (const _ of range(20)) {
      for (const index of range(100)) hold(net.connect(index % 2 === 0 ? tlsPort : port, "127.0.0.1"), stopping).resume();
      await delay(20);
    }
  },
};

const readiness: Attack = {
  name: "/readyz, six hundred at once",
  begin: (target, stopping) =>
    keepBusy(600, stopping, async () => {
      const socket = dialPlain(target, stopping);
      socket.write("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      await closed(socket);
    }),
};

const calls: Attack = {
  name: "calls without a token",
  begin: (target, stopping) =>
    keepBusy(8, stopping, async () => {
      const socket = await dialTls(target, "h2", stopping);
      socket.write(greeting);
      for (let stream = 1; !socket.destroyed && !stopping.aborted && stream < 40_000; stream += 2) {
        const token = [["authorization", `Bearer ${randomBytes(8).toString("hex")}`]] as const;
        const path = [check, "/decnet.v1.AccessService/WhoAmI", "/nothing/here"][stream % 3] ?? "";
        socket.write(Buffer.concat([head(path, stream, token), frame(0, 1, stream, message(Buffer.alloc(0)))]));
        if (stream % 50 === 1) await delay(5);
      }
      await Promise.race([delay(1_000), closed(socket)]);
      socket.destroy();
    }),
};

/** A hundred connections that say nothing, until each makes a hundred calls at the same moment as all others. */
const callsAtOnce: Attack = {
  name: "calls by the hundred, all at once",
  begin: (target, stopping) =>
    keepBusy(1, stopping, async () => {
      const sockets: tls.TLSSocket[] = [];
      for (const index of range(100)) {
        if (stopping.aborted) return;
        sockets.push(await dialTls(target, index % 2 === 0 ? "h2" : "http/1.1", stopping));
      }
      const token = [["authorization", "Bearer none"]] as const;
      const path = "/decnet.v1.AccessService/WhoAmI";
      const http2 = Buffer.concat([greeting, ...range(100).map((stream) => head(path, 2 * stream + 1, token))]);
      const http1 = `GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(600);
      for (const [index, socket] of sockets.entries()) socket.write(index % 2 === 0 ? http2 : http1);
      await delay(1_000);
      for (const socket of sockets) socket.destroy();
    }),
};

const reflection: Attack = {
  name: "reflection that is not read",
  begin: (target, stopping) =>
    keepBusy(4, stopping, async () => {
      const socket = await dialTls(target, "h2", stopping);
      socket.pause();
      socket.write(greeting);
      // list_services = 7
      const question = message(Buffer.from([0x3a, 0x01, 0x2a]));
      for (const index of range(100)) {
        socket.write(head("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 2 * index + 1));
        for (const _ of range(20)) socket.write(frame(0, 0, 2 * index + 1, question));
      }
      await Promise.race([delay(5_000), closed(socket)]);
      socket.destroy();
    }),
};

const joins: Attack = {
  name: "joins with a token that is none",
  begin: (target, stopping) =>
    keepBusy(40, stopping, async () => {
      const socket = await dialTls(target, "http/1.1", stopping);
      const body = JSON.stringify({ tokenId: "jt-none", tokenSecret: randomBytes(8).toString("hex"), csr: "x".repeat(60_000) });
      socket.write(
        "POST /decnet.v1.EnrollmentService/Enroll HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await closed(socket);
    }),
};

const headers: Attack = {
  name: "headers without end",
  begin: (target, stopping) =>
    keepBusy(100, stopping, async (index) => {
      const protocol = index % 2 === 0 ? "h2" : "http/1.1";
      const socket = await dialTls(target, protocol, stopping);
      // A head that lacks its end, and one that comes letter by letter.
      socket.write(
        protocol === "h2" ? Buffer.concat([greeting, frame(1, 0, 1, encodeFields([["x", "y"]]))]) : "GET / HTTP/1.1\r\n",
      );
      while (!socket.destroyed && !stopping.aborted) {
        socket.write(protocol === "h2" ? frame(9, 0, 1, encodeFields([["x", "y".repeat(200)]])) : "x");
        await Promise.race([delay(500), closed(socket)]);
      }
    }),
};

const handshakes: Attack = {
  name: "handshakes, and no word after",
  begin: (target, stopping) =>
    keepBusy(100, stopping, async (index) => {
      const socket = await dialTls(target, index % 2 === 0 ? "h2" : "http/1.1", stopping);
      socket.destroy();
    }),
};

const resets: Attack = {
  name: "streams that are reset at once",
  begin: (target, stopping) =>
    keepBusy(8, stopping, async () => {
      const socket = await dialTls(target, "h2", stopping);
      socket.write(greeting);
      const cancel = Buffer.from([0, 0, 0, 8]);
      for (let stream = 1; !socket.destroyed && !stopping.aborted && stream < 40_000; stream += 2) {
        const token = [["authorization", `Bearer ${randomBytes(8).toString("hex")}`]] as const;
        const bytes = Buffer.concat([head("/decnet.v1.AccessService/WhoAmI", stream, token), frame(3, 0, stream, cancel)]);
        if (!socket.write(bytes)) await Promise.race([delay(50), closed(socket)]);
      }
      socket.destroy();
    }),
};

/** Pings, settings, priorities and windows, each of which HTTP/2 wants read and some answered, and a body byte by byte. */
const smallFrames: Attack = {
  name: "frames that say nothing",
  begin: (target, stopping) =>
    keepBusy(4, stopping, async (index) => {
      const socket = await dialTls(target, "h2", stopping);
      socket.write(Buffer.concat([greeting, head(check, 1)]));
      const kinds = [
        frame(6, 0, 0, Buffer.alloc(8)),
        frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0])),
        frame(2, 0, 1, Buffer.from([0, 0, 0, 0, 16])),
        frame(0, 0, 1, Buffer.alloc(1)),
      ];
      const many = Buffer.concat(Array<Buffer>(500).fill(kinds[index % kinds.length] ?? Buffer.alloc(0)));
      while (!socket.destroyed && !stopping.aborted)
        if (!socket.write(many)) await Promise.race([delay(20), closed(socket)]);
        else await delay(1);
    }),
};

/** All of them, in the order in which a table shows them. */
export const attacks: readonly Attack[] = [
  bodiesOverHttp2,
  bodiesOverHttp1,
  streams,
  idle,
  silent,
  readiness,
  calls,
  callsAtOnce,
  reflection,
  joins,
  headers,
  handshakes,
  resets,
  smallFrames,
];
