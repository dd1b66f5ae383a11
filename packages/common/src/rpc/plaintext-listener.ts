import net from "node:net";
import { AppError } from "../errors/app-error.ts";
import type { Connections } from "./connections.ts";
import type { HttpServers } from "./http-servers.ts";
import { type Listener, listen } from "./listener.ts";
import { isLoopback } from "./loopback.ts";
import type { Pace } from "./pace.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const firstBytesMs = 10_000;
/** Who shows no credential waits so long at most, and is told to come again then. */
const bareMs = 5_000;
/** Within the first line of a request, which has nothing but letters, digits and signs. */
const mostLine = 64;
/** A request whose header is longer is not looked through. */
const mostHeader = 16 << 10;
const comeAgain = `HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;

/** A port without TLS, for loopback alone. */
export async function listenPlaintext(
  options: { host: string; port: number },
  http: HttpServers,
  connections: Connections,
  { opening, bare }: { readonly opening: Pace; readonly bare: Pace },
): Promise<Listener> {
  if (!isLoopback(options.host))
    throw new AppError(
      "SETTINGS_INVALID",
      `DECNET_HOST: refusing to listen on ${options.host} without TLS; use a loopback address such as 127.0.0.1`,
    );
  return listen(
    net.createServer({ pauseOnConnect: true }, (socket) => {
      const connection = connections.admit(socket, "plaintext");
      if (connection === undefined) return;
      const isOver = () => socket.destroyed;
      const serve = (protocol: "h2" | "http/1.1") => http.serve(socket, protocol, connection);
      const onBare = () => {
        const timer = setTimeout(() => {
          if (!socket.destroyed) socket.end(comeAgain);
        }, bareMs);
        socket.once("close", () => clearTimeout(timer));
        bare.begin("bare", {
          isOver: () => socket.destroyed || socket.writableEnded,
          begin() {
            clearTimeout(timer);
            serve("http/1.1");
          },
        });
      };
      opening.begin("plaintext", { isOver, begin: () => dispatch(socket, serve, onBare) });
    }),
    options,
  );
}

/**
 * HTTP/2 with prior knowledge begins with a fixed text; everything else is HTTP/1.1. Whoever begins with a request of that kind
 * that shows no credential, a probe for instance, comes after all those who have one: they come from the same address.
 */
function dispatch(socket: net.Socket, serve: (protocol: "h2" | "http/1.1") => void, onBare: () => void): void {
  if (socket.destroyed) return;
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), firstBytesMs);
  socket.on("error", () => socket.destroy()).once("close", () => clearTimeout(timer));
  socket.on("readable", function onReadable() {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      seen = Buffer.concat([seen, chunk]);
      const kind = kindOf(seen);
      if (kind === undefined) continue;
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.unshift(seen);
      if (kind === "bare") onBare();
      else serve(kind);
      return;
    }
  });
}

/** Undefined: more has to be seen. */
function kindOf(seen: Buffer): "h2" | "http/1.1" | "bare" | undefined {
  const length = Math.min(seen.length, preface.length);
  if (seen.subarray(0, length).equals(preface.subarray(0, length))) return length < preface.length ? undefined : "h2";
  // TLS, for one: who does not speak HTTP is told so at once.
  if (/^[^\r\n]*[^\r\n\t -~]/.test(seen.toString("latin1", 0, mostLine))) return "bare";
  const end = seen.indexOf("\r\n\r\n");
  if (end < 0) return seen.length > mostHeader ? "bare" : undefined;
  return /\r\nauthorization:/i.test(seen.toString("latin1", 0, end)) ? "http/1.1" : "bare";
}
