import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a broker on which answers to what was sent get lost. */
export interface LosingProxy {
  readonly port: number;
  /**
   * From now on answers to produce requests are lost, each with this likelihood and the next one in any case, and the connection
   * with them.
   */
  lose(share: number): void;
  /** How many were lost: the broker has what was sent, and the sender does not know. */
  readonly lost: number;
  close(): Promise<void>;
}

const produce = 0;

/** Each request of Kafka's protocol begins with its length, an API key and a correlation id, which its answer has as well. */
export async function openLosingProxy(target: () => number): Promise<LosingProxy> {
  const sockets = new Set<Socket>();
  let likelihood = 0;
  let isNextLost = false;
  let lost = 0;
  const hold = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    const broker = connect(target(), "127.0.0.1");
    hold(client);
    hold(broker);
    client.once("close", () => broker.destroy());
    broker.once("close", () => client.destroy());
    const sent = new Set<number>();
    const requests = createFrames((frame) => {
      if (frame.readInt16BE(4) === produce) sent.add(frame.readInt32BE(8));
      broker.write(frame);
    });
    const answers = createFrames((frame) => {
      if (client.destroyed) return;
      if (sent.delete(frame.readInt32BE(4)) && (isNextLost || Math.random() < likelihood)) {
        lost += 1;
        isNextLost = false;
        client.destroy();
        broker.destroy();
      } else client.write(frame);
    });
    client.on("data", requests);
    broker.on("data", answers);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    lose(share) {
      likelihood = share;
      isNextLost = share > 0;
    },
    get lost() {
      return lost;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** Whole messages, each with its length in front. */
function createFrames(take: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      if (rest.length < 4) return;
      const size = 4 + rest.readInt32BE(0);
      if (rest.length < size) return;
      take(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
  };
}
