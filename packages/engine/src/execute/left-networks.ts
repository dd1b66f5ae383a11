import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { z } from "zod";
import { deckyKey, type Scope } from "../spec.ts";

type Decky = { readonly scope: Scope; readonly name: string };

/**
 * Remembers, on disk, which networks a decky leaves when its base is made again, until they were released: once the base is made
 * nothing else tells that it was on them, and whoever was the last there takes them down.
 */
export interface LeftNetworks {
  of(decky: Decky): readonly string[];
  note(decky: Decky, networks: readonly string[]): Promise<void>;
  /** Undefined: of every decky. */
  forget(network: string, decky: Decky | undefined): Promise<void>;
  /** The decky is gone, and its networks with it. */
  forgetDecky(decky: Decky): Promise<void>;
}

const file = z.object({ file: z.literal("decnet left networks 1"), left: z.record(z.string(), z.array(z.string())) });

/** One owner: a daemon holds the lock of its data folder. What cannot be read counts as nothing noted. */
export async function openLeftNetworks(dataDir: string): Promise<LeftNetworks> {
  const path = join(dataDir, "left-networks.json");
  const kept = new Map(Object.entries(await read(path)));
  /** One change after the other: each begins with what the last one left. */
  let last: Promise<unknown> = Promise.resolve();
  const change = (key: string, next: (before: readonly string[]) => readonly string[]): Promise<void> => {
    const work = async () => {
      const before = kept.get(key) ?? [];
      const after = next(before);
      if (after.length === before.length) return;
      const all = new Map(kept).set(key, [...after]);
      if (after.length === 0) all.delete(key);
      await writeFileAtomically(
        path,
        `${JSON.stringify({ file: "decnet left networks 1", left: Object.fromEntries(all) })}\n`,
        0o600,
      );
      if (after.length === 0) kept.delete(key);
      else kept.set(key, [...after]);
    };
    const done = last.then(work, work);
    last = done.catch(() => undefined);
    return done;
  };
  return {
    of: (decky) => kept.get(deckyKey(decky)) ?? [],
    note: (decky, networks) => change(deckyKey(decky), (before) => [...new Set([...before, ...networks])]),
    async forget(network, decky) {
      const keys = decky === undefined ? [...kept.keys()] : [deckyKey(decky)];
      for (const key of keys) await change(key, (before) => before.filter((each) => each !== network));
    },
    forgetDecky: (decky) => change(deckyKey(decky), () => []),
  };
}

async function read(path: string): Promise<Record<string, string[]>> {
  try {
    return file.parse(JSON.parse(await readFile(path, "utf8"))).left;
  } catch {
    return {};
  }
}
