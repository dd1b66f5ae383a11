import net from "node:net";

/** The connections that there are, to end those that nobody answers on. */
export interface Sockets {
  add(): net.Socket;
  destroyAll(): void;
}

export function createSockets(): Sockets {
  const sockets = new Set<net.Socket>();
  return {
    add() {
      const socket = new net.Socket();
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return socket;
    },
    destroyAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
