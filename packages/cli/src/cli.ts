import type { Connection } from "./connection.ts";
import type { Choice, ChosenContext } from "./contexts/contexts.ts";

/** What every group of commands works with. */
export interface Cli {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Connects, does the work and closes. The number that the work returns is the exit code; undefined means 0. */
  withConnection(work: (connection: Connection) => Promise<number | undefined>): Promise<void>;
  /** Does work that needs no master. */
  run(work: () => Promise<number | undefined> | number | undefined): Promise<void>;
  /** The master that flags, environment and contexts file select. */
  chosen(): ChosenContext;
  /** The flags that say where the master is. */
  flags(): Choice;
}
