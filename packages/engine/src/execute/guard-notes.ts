import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { z } from "zod";
import { digestOf } from "../plan/plan.ts";
import type { GuardNotes } from "../policy/guard.ts";

/** Remembers, on disk, how each table was listed right after it was put there. Many deckies have the same one. */
export interface GuardNoteStore extends GuardNotes {
  note(rules: string, listing: string): Promise<void>;
}

/** The oldest are forgotten: their tables are put there once more. */
const mostNotes = 5_000;
const file = z.object({ file: z.literal("decnet guards 1"), listings: z.record(z.string(), z.string()) });

/** One owner: a daemon holds the lock of its data folder. What cannot be read counts as nothing noted. */
export async function openGuardNotes(dataDir: string): Promise<GuardNoteStore> {
  const path = join(dataDir, "guards.json");
  const kept = new Map(Object.entries(await read(path)));
  let known = new Set(kept.values());
  let writing: Promise<unknown> = Promise.resolve();
  const write = () => {
    const text = `${JSON.stringify({ file: "decnet guards 1", listings: Object.fromEntries(kept) })}\n`;
    return writeFileAtomically(path, text, 0o600);
  };
  return {
    listedAs: (rules) => kept.get(digestOf(rules)),
    isKnown: (listing) => known.has(listing),
    async note(rules, listing) {
      const key = digestOf(rules);
      if (kept.get(key) === listing) return;
      kept.delete(key);
      kept.set(key, listing);
      for (const old of kept.keys()) if (kept.size > mostNotes) kept.delete(old);
      known = new Set(kept.values());
      // Where it cannot be written, such as on a full disk, the next start of the daemon puts the table there once more.
      writing = writing.then(write).catch(() => undefined);
      await writing;
    },
  };
}

async function read(path: string): Promise<Record<string, string>> {
  try {
    return file.parse(JSON.parse(await readFile(path, "utf8"))).listings;
  } catch {
    return {};
  }
}
