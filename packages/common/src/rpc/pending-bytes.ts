import { AppError } from "../errors/app-error.ts";
import { overloaded } from "./overloaded.ts";

/** Whose bodies take from the same place: nobody of one kind can leave another without. */
export type Pool = "strangers" | "callers" | "agents";

/** The bytes of one call. */
export interface BytesOfCall {
  /** Undefined, or why there is no room for them. */
  add(bytes: number): AppError | undefined;
  /** The call has ended. */
  release(): void;
}

export interface PendingBytes {
  /** `connection` is an object that lives as long as the connection; of one, no more than a quarter. */
  open(pool: Pool, connection: object, mostBytes: number): BytesOfCall;
  total(): number;
}

const partOfConnection = 4;
const mostOfStrangers = 8 << 20;

/** Counts the bodies that are being read or worked on, all together. */
export function createPendingBytes(most: number, onFull: () => void): PendingBytes {
  const room = { strangers: Math.min(mostOfStrangers, most), callers: most, agents: most };
  const used = { strangers: 0, callers: 0, agents: 0 };
  const byConnection = new WeakMap<object, number>();
  return {
    open(pool, connection, mostBytes) {
      let own = 0;
      let isOver = false;
      const add = (bytes: number) => {
        own += bytes;
        used[pool] += bytes;
        byConnection.set(connection, (byConnection.get(connection) ?? 0) + bytes);
      };
      return {
        add(bytes) {
          if (isOver) return undefined;
          if (own + bytes > mostBytes) return tooLarge(mostBytes);
          const ofConnection = (byConnection.get(connection) ?? 0) + bytes;
          if (used[pool] + bytes > room[pool] || (ofConnection > room[pool] / partOfConnection && ofConnection > own + bytes)) {
            onFull();
            return overloaded("too many bytes of requests are under way");
          }
          add(bytes);
          return undefined;
        },
        release() {
          if (isOver) return;
          isOver = true;
          add(-own);
        },
      };
    },
    total: () => used.strangers + used.callers + used.agents,
  };
}

function tooLarge(most: number): AppError {
  return new AppError(
    "REQUEST_TOO_LARGE",
    `the request is larger than ${most >> 10} KiB, which is the most that this call may be`,
  );
}
