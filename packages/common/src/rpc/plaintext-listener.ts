import net from "node:net";
import { AppError } from "../errors/app-error.ts";
import type { Connection, Connections } from "./connections.ts";
import type { HttpServers } from "./http-servers.ts";
import { type Listener, listen } from "./listener.ts";
import { isLoopback } from "./loopback.ts";
import type { Pace } from "./pace.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const firstBytesMs = 10_000;

/** A port without TLS, for loopback alone. */
export async function listenPlaintext(
  options: { host: string; port: number },
  http: HttpServers,
  connections: Connections,
  pace: Pace,
): Promise<Listener> {
  if (!isLoopback(options.host))
    throw new AppError(
      "SETTINGS_INVALID",
      `DECNET_HOST: refusing to listen on ${options.host} without TLS; use a loopback address such as 127.0.0.1`,
    );
  return listen(
    net.createServer({ pauseOnConnect: true }, (socket) => {
      const connection = connections.admit(socket, "plaintext");
      if (connection !== undefined) pace.begin("plaintext", () => dispatch(socket, http, connection));
    }),
    options,
  );
}

/** HTTP/2 with prior knowledge begins with a fixed text; everything else is HTTP/1.1. */
function dispatch(socket: net.Socket, http: HttpServers, connection: Connection): void {
  if (socket.destroyed) return;
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), firstBytesMs);
  socket.on("error", () => socket.destroy()).once("close", () => clearTimeout(timer));
  socket.on("readable", function onReadable() {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      seen = Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, preface.length);
      const same = seen.subarray(0, length).equals(preface.subarray(0, length));
      if (same && length < preface.length) continue;
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.unshift(seen);
      http.serve(socket, same ? "h2" : "http/1.1", connection);
      return;
    }
  });
}
