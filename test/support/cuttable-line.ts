import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a port of this machine that can be cut, as a network fails: everything on it breaks, and what calls meanwhile hears nothing until it is healed. */
export interface CuttableLine {
  /** host:port */
  readonly address: string;
  cut(): void;
  heal(): void;
  close(): Promise<void>;
}

export async function openCuttableLine(port: number): Promise<CuttableLine> {
  const sockets = new Set<Socket>();
  const waiting = new Set<Socket>();
  let isCut = false;
  const hold = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
  };
  const lead = (from: Socket) => {
    if (from.destroyed) return;
    const to = connect(port, "127.0.0.1");
    hold(to);
    from.once("close", () => to.destroy());
    to.once("close", () => from.destroy());
    from.pipe(to).pipe(from);
  };
  const server = createServer((socket) => {
    hold(socket);
    if (isCut) waiting.add(socket);
    else lead(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    heal() {
      isCut = false;
      for (const socket of waiting) lead(socket);
      waiting.clear();
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
