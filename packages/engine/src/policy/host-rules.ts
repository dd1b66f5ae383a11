import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import { type CommandResult, runCommand } from "../docker/run-command.ts";
import { codeOf, notObserved, unlessAbsentLater } from "../observe/not-observed.ts";
import { readProcFile } from "../observe/proc-file.ts";
import { type LanInterface, type ObservedRules, readListing, renderContainment, tableName } from "./containment.ts";

/** Our table of nftables, and no other, through the `nft` command. */
export interface HostRules {
  /** Throws NOT_OBSERVED. */
  observe(): Promise<ObservedRules>;
  /**
   * Replaces the table by one for the interfaces that `find` names, and removes it when there are none. One call at a time.
   * Returns why this host cannot have a table, if it cannot. Throws APPLY_FAILED.
   */
  lay(find: () => Promise<readonly LanInterface[]>, signal: AbortSignal): Promise<string | undefined>;
  /** Removes the table, if it was ever put there. */
  clear(): Promise<void>;
}

/** In the data folder: how the table was listed when it was put there. */
const noteName = "containment.nft";
const commandMs = 10_000;

export function createHostRules(instance: string, dataDir: string): HostRules {
  const oneByOne = createExclusive(1);
  const note = join(dataDir, noteName);
  const table = tableName(instance);
  const list = (signal: AbortSignal) => nft(["-n", "-s", "list", "table", "inet", table], signal);
  const observe = async (signal: AbortSignal): Promise<ObservedRules> => {
    const listed = await list(signal);
    if ("unable" in listed) return { kind: "unable", why: listed.unable };
    if (isAbsent(listed)) return { kind: "absent" };
    if (listed.exitCode !== 0) throw notObserved(`the table ${table} of nftables: ${saidOf(listed)}`);
    const { rules, ...sets } = readListing(listed.stdout);
    const made = await unlessAbsentLater(() => readFile(note, "utf8"));
    return { kind: "there", ...sets, isAsMade: made?.trim() === rules };
  };
  const lay: HostRules["lay"] = (find, signal) =>
    oneByOne.run("", signal, async () => {
      const interfaces = await find();
      const done = await nft([renderContainment(instance, interfaces)], signal);
      signal.throwIfAborted();
      if ("unable" in done) return done.unable;
      if (done.exitCode !== 0)
        throw new AppError("APPLY_FAILED", `nft ended with exit code ${done.exitCode ?? "none"}`, { outputTail: done.tail });
      if (interfaces.length === 0) {
        await rm(note, { force: true });
        return undefined;
      }
      const made = await list(signal);
      if ("unable" in made || made.exitCode !== 0) throw new AppError("APPLY_FAILED", `the table ${table} is gone again`);
      await writeFileAtomically(note, `${readListing(made.stdout).rules}\n`, 0o600);
      return undefined;
    });
  return {
    // Never in the middle of a change: what is noted of the table would be another one's.
    observe: () => {
      const signal = AbortSignal.timeout(2 * commandMs);
      return oneByOne.run("", signal, () => observe(signal));
    },
    lay,
    async clear() {
      const made = await unlessAbsentLater(() => readFile(note, "utf8")).catch(() => undefined);
      if (made !== undefined) await lay(async () => [], AbortSignal.timeout(2 * commandMs)).catch(() => undefined);
    },
  };
}

/** Interfaces of the network namespace that this program is in. Throws NOT_OBSERVED. */
export function presentInterfaces(): ReadonlySet<string> {
  const lines = (readProcFile("/proc/net/dev") ?? "").split("\n").slice(2);
  return new Set(lines.map((line) => line.slice(0, line.lastIndexOf(":")).trim()).filter((name) => name !== ""));
}

const remedies: readonly (readonly [RegExp, string])[] = [
  [/not permitted|must be root/i, "may not be used by this program: run it as root"],
  [/not supported|cache initialization failed/i, "does not work with the kernel of this host, which has no nftables"],
];

async function nft(args: readonly string[], signal: AbortSignal): Promise<CommandResult | { readonly unable: string }> {
  const result = await runCommand("nft", args, { timeoutMs: commandMs, signal }).catch((error: unknown) => {
    if (codeOf(error instanceof Error ? error.cause : undefined) === "ENOENT") return undefined;
    throw notObserved("nft cannot be run", error);
  });
  if (result === undefined) return { unable: cannot("is not on this host: install it (apt-get install nftables)") };
  const said = saidOf(result);
  const remedy = result.exitCode === 0 ? undefined : remedies.find(([pattern]) => pattern.test(said))?.[1];
  return remedy === undefined ? result : { unable: cannot(remedy) };
}

function cannot(why: string): string {
  return (
    "deckies would reach the ports of their host: nft, which keeps them from that, " +
    `${why}; or set DECNET_CONTAINMENT=off to run deckies without`
  );
}

function isAbsent(result: CommandResult): boolean {
  return result.exitCode !== 0 && /No such file or directory/.test(saidOf(result));
}

function saidOf({ tail, ended }: CommandResult): string {
  return ended === "exit" ? tail.join(" ") : ended;
}
