import type { ApplyOptions, ApplyOutcome, CheckedDecky, Engine, PlannedDecky } from "@decnet/engine/engine";
import type { LogEntry } from "@decnet/engine/observe/logs";
import type { ObservedDecky } from "@decnet/engine/observe/observed";
import type { DeckySpec, DeckyTarget } from "@decnet/engine/spec";

/** All that the master knows of a host. A host that does not answer throws; it never looks like an empty one. */
export interface HostLink {
  readonly name: string;
  readonly warnings: readonly string[];
  plan(target: DeckyTarget): Promise<PlannedDecky>;
  apply(target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome>;
  check(specs: readonly DeckySpec[]): Promise<{ deckies: ReadonlyMap<string, CheckedDecky>; strays: readonly ObservedDecky[] }>;
  logs(
    decky: Pick<DeckySpec, "scope" | "name">,
    slug: string,
    options: { tail: number; follow: boolean; signal: AbortSignal },
  ): AsyncIterable<LogEntry>;
  ping(): Promise<void>;
}

/** The master's own host: the engine in this process. */
export function createLocalHost(engine: Engine): HostLink {
  return { name: "local", ...engine };
}
