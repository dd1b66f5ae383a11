import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";

/** A way to a PostgreSQL server that reads along what clients send, and can break. */
export interface DatabaseLine {
  /** Where to connect to instead. */
  readonly url: string;
  /** What waited for the server since the last call, one entry for each round trip: the statements that were sent together. */
  take(): string[];
  /** The server does what comes with the first round trip that matches, and its answer is lost with the connection. */
  loseAnswer(matches: (roundTrip: string) => boolean): void;
  /** Breaks all connections, and lets no new ones come to be. */
  cut(): void;
  /** The server is not heard of any more, and nobody is told: as when a network drops what is sent. */
  freeze(): void;
  heal(): void;
  dispose(): Promise<void>;
}

export async function openDatabaseLine({ socketFolder, database, user }: PrivatePostgres): Promise<DatabaseLine> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  let isLost: ((roundTrip: string) => boolean) | undefined;
  let isCut = false;
  let isFrozen = false;
  const lead = (client: Socket) => {
    const upstream = connect(join(socketFolder, ".s.PGSQL.5432"));
    let isLosing = false;
    const read = createReader((roundTrip) => {
      seen.push(roundTrip);
      if (isLost?.(roundTrip) !== true) return;
      isLost = undefined;
      isLosing = true;
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (chunk) => {
      read(chunk);
      if (!isFrozen) upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      // The server answers when all is done, and stored.
      if (isFrozen) return;
      if (isLosing) client.destroy();
      else client.write(chunk);
    });
  };
  const server = createServer((client) => (isCut ? client.destroy() : lead(client)));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `postgresql://${user}@127.0.0.1:${port}/${database}`,
    take: () => seen.splice(0),
    loseAnswer(matches) {
      isLost = matches;
    },
    cut() {
      isCut = true;
      destroyAll();
    },
    freeze() {
      isFrozen = true;
    },
    heal() {
      isCut = false;
      isFrozen = false;
    },
    async dispose() {
      const closed = once(server, "close");
      server.close();
      destroyAll();
      await closed;
    },
  };
}

/** Type and length. */
const headerBytes = 5;

/**
 * The frontend's half of the protocol, as far as it says when the client waits: a simple query is a round trip, and so is
 * whatever ends with a Sync. A prepared statement is called by its name, others by their text.
 */
function createReader(onRoundTrip: (statements: string) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let hasStarted = false;
  let unnamed = "";
  let sent: string[] = [];
  const onMessage = (type: string, body: Buffer): void => {
    const [first = "", second = ""] = body.toString("latin1").split("\0", 2);
    if (type === "Q") onRoundTrip(first);
    if (type === "P" && first === "") unnamed = second;
    if (type === "B") sent.push(second === "" ? unnamed : second);
    if (type !== "S") return;
    onRoundTrip(sent.join("; "));
    sent = [];
  };
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      // The first message has no type.
      const start = hasStarted ? 1 : 0;
      if (rest.length < headerBytes) return;
      const end = start + rest.readInt32BE(start);
      if (rest.length < end) return;
      if (hasStarted) onMessage(rest.toString("latin1", 0, 1), rest.subarray(headerBytes, end));
      hasStarted = true;
      rest = rest.subarray(end);
    }
  };
}
