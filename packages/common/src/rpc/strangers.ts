import type { AppError } from "../errors/app-error.ts";
import { createBounded } from "../runtime/bounded.ts";
import type { Connection } from "./connection.ts";
import type { Pressure } from "./limits.ts";
import { overloaded } from "./overloaded.ts";

/** What everybody who has proved nothing has in common with all others like him. */
export interface Strangers {
  /** A place for a call; what is returned gives it back. */
  enter(kind: PlaceKind, connection: Connection): (() => void) | AppError;
  /** Joins are worked on a few at a time. */
  join<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** Streams last; joins cost the database; every other call waits for its caller's token to be looked at. */
export type PlaceKind = "call" | "stream" | "join";

const places: Readonly<Record<PlaceKind, { total: number; ofAddress: number; ofConnection: number; pressure: Pressure }>> = {
  call: { total: 512, ofAddress: 256, ofConnection: 100, pressure: "calls of strangers" },
  stream: { total: 128, ofAddress: 32, ofConnection: 4, pressure: "streams of strangers" },
  join: { total: 128, ofAddress: 32, ofConnection: 8, pressure: "joins" },
};
const joinsAtOnce = 8;
const joinPatienceMs = 5_000;

export function createStrangers(onPressure: (what: Pressure) => void): Strangers {
  const taken = new Map<string, number>();
  const ofConnection = new WeakMap<Connection, Map<PlaceKind, number>>();
  const line = createBounded(joinsAtOnce, joinPatienceMs, () => {
    onPressure("joins");
    return overloaded("too many workers join at once");
  });
  const countsOf = (connection: Connection) => {
    const known = ofConnection.get(connection) ?? new Map<PlaceKind, number>();
    ofConnection.set(connection, known);
    return known;
  };
  const change = <Key>(counts: Map<Key, number>, key: Key, by: number) => {
    const next = (counts.get(key) ?? 0) + by;
    if (next === 0) counts.delete(key);
    else counts.set(key, next);
  };
  return {
    enter(kind, connection) {
      const most = places[kind];
      const own = countsOf(connection);
      const ofAddress = `${kind} ${connection.source}`;
      const isFull =
        (taken.get(kind) ?? 0) >= most.total ||
        (taken.get(ofAddress) ?? 0) >= most.ofAddress ||
        (own.get(kind) ?? 0) >= most.ofConnection;
      if (isFull) {
        onPressure(most.pressure);
        return overloaded(`too many ${kind === "join" ? "workers join" : `${kind}s without a token`} at once`);
      }
      const count = (by: number) => {
        change(taken, kind, by);
        change(taken, ofAddress, by);
        change(own, kind, by);
      };
      count(1);
      let isLeft = false;
      return () => {
        if (!isLeft) count(-1);
        isLeft = true;
      };
    },
    join: line,
  };
}
