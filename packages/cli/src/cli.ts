import type { Connection } from "./connection.ts";

/** What every group of commands works with. */
export interface Cli {
  /** Connects, does the work and closes. The number that the work answers is the exit code; nothing means 0. */
  withConnection(work: (connection: Connection) => Promise<number | undefined>): Promise<void>;
}
