import type net from "node:net";
import { AppError } from "../errors/app-error.ts";

/** A port that accepts connections and remembers them. */
export interface Listener {
  readonly port: number;
  /** Stops accepting; resolves when the last connection is gone. */
  close(): Promise<void>;
  /** Cuts every connection. */
  destroy(): void;
}

/** Where more wait to be accepted, the system drops those that come, and an operator among them tries again seconds later. */
const backlog = 4_096;

/** Listens, and keeps the connections of `server`, from their first byte on. Errors: ADDRESS_UNUSABLE. */
export async function listen(server: net.Server, options: { host: string; port: number }): Promise<Listener> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    const refuse = (cause: Error) =>
      reject(new AppError("ADDRESS_UNUSABLE", `cannot listen on ${options.host}:${options.port}: ${cause.message}`, { cause }));
    server.once("error", refuse).listen(options.port, options.host, backlog, () => {
      server.off("error", refuse);
      resolve();
    });
  });
  // A connection that cannot be accepted, for want of file descriptors, is not the end of the server.
  server.on("error", () => undefined);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
    destroy() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
