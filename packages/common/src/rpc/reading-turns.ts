import type net from "node:net";
import type { Connection } from "./connection.ts";

/**
 * Calls are read a few in each turn of the event loop, however many connections have some at the same moment: everybody else has
 * the rest of the turn. What is not read yet stays with the kernel, and then with the caller. Strangers keep nobody waiting who
 * has proved who he is.
 */
export interface ReadingTurns {
  /** Looks after a connection as long as it is served. */
  watch(socket: net.Socket, connection: Connection): void;
  /** A call came in on it. */
  note(connection: Connection): void;
}

/** What the connection whose turn it is sent with them comes besides: HTTP/2 allows it so many streams. */
export const callsInOneTurn = { ofStrangers: 16, ofOthers: 64 };

/** While more of them wait, strangers have a quarter of the time: whoever else is served needs several turns for one call. */
const restOfStrangers = 3;

export function createReadingTurns(): ReadingTurns {
  const ofPort = () => createTurns(callsInOneTurn.ofStrangers, restOfStrangers);
  const strangersOf = { plaintext: ofPort(), tls: ofPort() };
  const others = createTurns(callsInOneTurn.ofOthers, 0);
  return {
    watch(socket, connection) {
      const follow = (turns: Turns) => {
        turns.add(connection, socket);
        socket.once("close", () => turns.remove(connection));
      };
      if (connection.isProven()) return follow(others);
      const strangers = strangersOf[connection.port];
      follow(strangers);
      connection.onProven(() => {
        strangers.remove(connection);
        if (!socket.destroyed) follow(others);
      });
    },
    note(connection) {
      strangersOf[connection.port].note(connection);
      others.note(connection);
    },
  };
}

interface Turns {
  add(connection: Connection, socket: net.Socket): void;
  remove(connection: Connection): void;
  /** Not for one that is not here. */
  note(connection: Connection): void;
}

/** After a turn with more than there may be, they rest for so many times as long as it took. */
function createTurns(most: number, rest: number): Turns {
  /** The one that is to be read first is the first. */
  const sockets = new Map<Connection, net.Socket>();
  let calls = 0;
  let begunAt = 0;
  let isOver = false;
  const end = () => {
    calls = 0;
    if (!isOver) return;
    const restMs = Math.floor(rest * (performance.now() - begunAt));
    if (restMs > 0) setTimeout(goOn, restMs);
    else goOn();
  };
  const goOn = () => {
    isOver = false;
    for (const socket of sockets.values()) startReading(socket);
  };
  return {
    add(connection, socket) {
      sockets.set(connection, socket);
      if (isOver) stopReading(socket);
    },
    remove(connection) {
      const socket = sockets.get(connection);
      sockets.delete(connection);
      if (isOver && socket !== undefined) startReading(socket);
    },
    note(connection) {
      const socket = sockets.get(connection);
      if (socket === undefined) return;
      // Whose calls were read comes after all the others.
      sockets.delete(connection);
      sockets.set(connection, socket);
      // The rest of what was read already: when it goes on is settled.
      if (isOver) return;
      if (calls === 0) {
        begunAt = performance.now();
        setImmediate(end);
      }
      calls += 1;
      if (calls < most) return;
      isOver = true;
      for (const each of sockets.values()) stopReading(each);
    },
  };
}

/**
 * Of the socket's handle, which Node.js does not document: its servers take the bytes from there, past everything that a socket
 * has for it. Where it should be missing one day, everybody is read as he comes.
 */
interface Handle {
  readStart?(): unknown;
  readStop?(): unknown;
}

function handleOf(socket: net.Socket): Handle | undefined {
  return (Reflect.get(socket, "_handle") as Handle | null | undefined) ?? undefined;
}

function stopReading(socket: net.Socket): void {
  handleOf(socket)?.readStop?.();
}

function startReading(socket: net.Socket): void {
  handleOf(socket)?.readStart?.();
}
