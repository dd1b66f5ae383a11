import type { Connection } from "./connection.ts";
import type { Choice, ChosenContext } from "./contexts/contexts.ts";

/** What every group of commands works with. */
export interface Cli {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Connects, does the work and closes. The number that the work answers is the exit code; nothing means 0. */
  withConnection(work: (connection: Connection) => Promise<number | undefined>): Promise<void>;
  /** Work without a master. */
  run(work: () => Promise<number | undefined> | number | undefined): Promise<void>;
  /** Where the flags, the environment and the contexts file lead to. */
  chosen(): ChosenContext;
  /** The flags that say where the master is. */
  flags(): Choice;
}
