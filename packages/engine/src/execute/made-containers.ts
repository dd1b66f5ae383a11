import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { unlessAbsentLater } from "../observe/not-observed.ts";
import type { MadeContainers, Traits } from "../observe/traits.ts";
import { deckyNames } from "../render/names.ts";
import type { Scope } from "../spec.ts";

type Decky = { readonly scope: Scope; readonly name: string };

/**
 * Remembers, on disk and apart from the project's files, what each container was when it was made here. A container that was
 * never noted is one of an earlier version, or its making was cut off.
 */
export interface MadeStore {
  /** Throws NOT_OBSERVED. */
  of(decky: Decky): Promise<MadeContainers>;
  /** Undefined: forgets that container, before another one is made. */
  note(decky: Decky, made: Readonly<Record<string, Traits | undefined>>): Promise<void>;
  /** Takes those that were never noted as they are. */
  adopt(decky: Decky, seen: MadeContainers): Promise<void>;
  forget(decky: Decky): Promise<void>;
}

const file = z.object({
  file: z.literal("decnet made containers 1"),
  made: z.record(z.string(), z.record(z.string(), z.string())),
});

/** One owner: a daemon holds the lock of its data folder. */
export function createMadeStore(folder: string): MadeStore {
  const known = new Map<string, Promise<MadeContainers>>();
  const pathOf = ({ scope, name }: Decky) => join(folder, `${deckyNames(scope, name).base}.json`);
  const of = (decky: Decky) => {
    const path = pathOf(decky);
    const before = known.get(path);
    if (before !== undefined) return before;
    const found = read(path);
    known.set(path, found);
    // What could not be read now may be readable the next time.
    found.catch(() => known.get(path) === found && known.delete(path));
    return found;
  };
  /** One change after the other: each begins with what the last one left. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = last.then(work, work);
    last = done;
    return done;
  };
  const change = (decky: Decky, next: (before: MadeContainers) => MadeContainers) =>
    inTurn(async () => {
      const path = pathOf(decky);
      const before = await of(decky);
      const after = next(before);
      if (JSON.stringify(after) === JSON.stringify(before)) return;
      await write(folder, path, after);
      known.set(path, Promise.resolve(after));
    });
  return {
    of,
    note: (decky, made) =>
      change(decky, (before) => {
        const entries = Object.entries({ ...before, ...made });
        return Object.fromEntries(entries.flatMap(([name, traits]) => (traits === undefined ? [] : [[name, traits]])));
      }),
    adopt: (decky, seen) => change(decky, (before) => ({ ...seen, ...before })),
    forget(decky) {
      return inTurn(async () => {
        const path = pathOf(decky);
        await rm(path, { force: true });
        known.delete(path);
      });
    },
  };
}

/** A file that was cut off says nothing, like none at all: what is there then counts as made here. */
async function read(path: string): Promise<MadeContainers> {
  const text = await unlessAbsentLater(() => readFile(path, "utf8"));
  try {
    return file.parse(JSON.parse(text ?? "")).made;
  } catch {
    return {};
  }
}

/** By one rename, and without waiting for the disk: what is lost with the power only is not known then. */
async function write(folder: string, path: string, made: MadeContainers): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `.unfinished-${randomBytes(8).toString("hex")}`);
  try {
    await writeFile(temporary, `${JSON.stringify({ file: "decnet made containers 1", made })}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
