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
  /** `owner` is whose they are: a connection, or a caller with all of his. Of one, no more than a quarter. */
  open(pool: Pool, owner: object | string, mostBytes: number): BytesOfCall;
  /** Why nothing more of that owner has a place. */
  refuse(pool: Pool, owner: object | string): AppError | undefined;
  total(): number;
}

const partOfOwner = 4;
const mostOfStrangers = 8 << 20;

/** Counts the bodies that are being read or worked on, or sent, all together. `why` is what the one is told who has no place. */
export function createPendingBytes(
  most: number,
  onFull: () => void,
  why = "too many bytes of requests are under way",
): PendingBytes {
  const room = { strangers: Math.min(mostOfStrangers, most), callers: most, agents: most };
  const used = { strangers: 0, callers: 0, agents: 0 };
  const byOwner = new Map<object | string, number>();
  return {
    open(pool, owner, mostBytes) {
      let own = 0;
      let isOver = false;
      const add = (bytes: number) => {
        own += bytes;
        used[pool] += bytes;
        const left = (byOwner.get(owner) ?? 0) + bytes;
        if (left === 0) byOwner.delete(owner);
        else byOwner.set(owner, left);
      };
      return {
        add(bytes) {
          if (isOver) return undefined;
          if (own + bytes > mostBytes) return tooLarge(mostBytes);
          const ofOwner = (byOwner.get(owner) ?? 0) + bytes;
          if (used[pool] + bytes > room[pool] || (ofOwner > room[pool] / partOfOwner && ofOwner > own + bytes)) {
            onFull();
            return overloaded(why);
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
    refuse(pool, owner) {
      if (used[pool] < room[pool] && (byOwner.get(owner) ?? 0) < room[pool] / partOfOwner) return undefined;
      onFull();
      return overloaded(why);
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
