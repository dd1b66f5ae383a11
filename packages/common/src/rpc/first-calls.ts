import type { Connection as WholeConnection } from "./connection.ts";

type Connection = Pick<WholeConnection, "isProven" | "onVerdict">;

/** A call that shows a credential. */
export interface FirstCall {
  readonly isOver: () => boolean;
  /** Not called for one that is over before its turn. */
  readonly begin: () => void;
  readonly onEnd: (listener: () => void) => void;
}

/**
 * One credential at a time on a connection of which nobody knows whose it is: the others wait until that one was looked at. Whose
 * was right begins all of them at once; whoever guesses a hundred at once has one looked up.
 */
export interface FirstCalls {
  begin(connection: Connection, call: FirstCall): void;
}

export function createFirstCalls(): FirstCalls {
  const lines = new WeakMap<Connection, FirstCall[]>();
  const run = (connection: Connection, line: FirstCall[], call: FirstCall): void => {
    let isTold = false;
    const next = () => {
      if (isTold) return;
      isTold = true;
      for (let following = line.shift(); following !== undefined; following = line.shift()) {
        if (following.isOver()) continue;
        if (!connection.isProven()) return run(connection, line, following);
        following.begin();
      }
      lines.delete(connection);
    };
    connection.onVerdict(next);
    call.onEnd(next);
    call.begin();
  };
  return {
    begin(connection, call) {
      const line = lines.get(connection);
      if (line !== undefined) return void line.push(call);
      const own: FirstCall[] = [];
      lines.set(connection, own);
      run(connection, own, call);
    },
  };
}
