import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { DeckyOutcomeSchema, DeckySpecSchema } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { Catalog } from "@decnet/engine/catalog/types";
import { deckyKey } from "@decnet/engine/spec";
import { type PresentTarget, parseSpecMessage, toSpecMessage } from "@decnet/engine/wire/decky-spec";
import { fromOutcomeMessage, type HostOutcome, toOutcomeMessage } from "@decnet/engine/wire/outcome";
import { z } from "zod";

/** One decky that this host was told to run. Survives the agent and the master's absence. */
export interface AcceptedDecky {
  readonly target: PresentTarget;
  /** A removal was asked for and is not done yet. */
  readonly leaving: boolean;
  /** The last apply failed: nothing is repaired until the master says what now. */
  readonly hold: boolean;
  /** How the apply of this very revision ended; undefined while it has not. */
  readonly outcome: HostOutcome | undefined;
  /**
   * Plan of the first run for this very revision, and how everything was before it; the receipt starts there, whichever run
   * ends it.
   */
  readonly begun: HostOutcome | undefined;
}

/**
 * Accepted specs, one file each, written before anything acts on them. Values of secrets are in them: 0600 in a folder that
 * only root reads.
 */
export interface SpecStore {
  list(): readonly AcceptedDecky[];
  get(key: string): AcceptedDecky | undefined;
  put(decky: AcceptedDecky): Promise<void>;
  forget(key: string): Promise<void>;
}

const stored = z.object({
  file: z.literal("decnet accepted spec 1"),
  spec: z.unknown(),
  leaving: z.boolean(),
  hold: z.boolean(),
  outcome: z.unknown().optional(),
  begun: z.unknown().optional(),
});

/**
 * Reads every spec. One that cannot be read any more, or that this host's catalog does not know any more, is said through
 * `onProblem` and left alone.
 */
export async function openSpecStore(
  folder: string,
  catalog: Catalog,
  onProblem: (file: string, error: unknown) => void,
): Promise<SpecStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const specs = new Map<string, AcceptedDecky>();
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".json")) continue;
    try {
      const decky = parseStored(await readFile(join(folder, name), "utf8"), catalog);
      specs.set(deckyKey(decky.target.spec), decky);
    } catch (error) {
      onProblem(name, error);
    }
  }
  const fileOf = (key: string) => join(folder, `${key.replace("/", "__")}.json`);
  return {
    list: () => [...specs.values()],
    get: (key) => specs.get(key),
    async put(decky) {
      const key = deckyKey(decky.target.spec);
      try {
        await writeFileAtomically(fileOf(key), formatStored(decky), 0o600);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new AppError("APPLY_FAILED", `what ${key} is to be could not be written on this host: ${why}`, { cause: error });
      }
      specs.set(key, decky);
    },
    async forget(key) {
      await rm(fileOf(key), { force: true });
      specs.delete(key);
    },
  };
}

function formatStored({ target, leaving, hold, outcome, begun }: AcceptedDecky): string {
  const { spec } = target;
  const format = (each: HostOutcome) => toJson(DeckyOutcomeSchema, toOutcomeMessage(spec, spec.revision, each, new Date()));
  return `${JSON.stringify({
    file: "decnet accepted spec 1",
    spec: toJson(DeckySpecSchema, toSpecMessage(target)),
    leaving,
    hold,
    ...(outcome === undefined ? {} : { outcome: format(outcome) }),
    ...(begun === undefined ? {} : { begun: format(begun) }),
  })}\n`;
}

function parseStored(text: string, catalog: Catalog): AcceptedDecky {
  const { spec, leaving, hold, outcome, begun } = stored.parse(JSON.parse(text));
  const parse = (each: unknown) =>
    each === undefined ? undefined : fromOutcomeMessage(fromJson(DeckyOutcomeSchema, each as JsonValue));
  return {
    target: parseSpecMessage(fromJson(DeckySpecSchema, spec as JsonValue), catalog),
    leaving,
    hold,
    outcome: parse(outcome),
    begun: parse(begun),
  };
}
