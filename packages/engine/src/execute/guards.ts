import { AppError } from "@decnet/common/errors/app-error";
import type { Catalog } from "../catalog/types.ts";
import { type CommandResult, runCommand } from "../docker/run-command.ts";
import type { LanRights } from "../observe/lan.ts";
import { codeOf, notObserved } from "../observe/not-observed.ts";
import { readProcFile } from "../observe/proc-file.ts";
import { type ObservedProcess, observeProcess } from "../observe/process.ts";
import { ageLimit } from "../observe/socket-cache.ts";
import { digestOf } from "../plan/plan.ts";
import {
  differRoutes,
  type GuardSpec,
  guardOf,
  guardTable,
  judgeGuard,
  type ObservedGuard,
  parseRoutes,
  readGuard,
} from "../policy/guard.ts";
import type { DeckySpec } from "../spec.ts";
import { openGuardNotes } from "./guard-notes.ts";

/** Rules and routes inside the network namespaces of bases, set and read from the host. */
export interface Guards {
  /**
   * `pid`: of a base that runs, or 0. `inDoubt`: something else is wrong with the decky, so that its rules may have changed since
   * they were read. Undefined: this host was told not to contain its deckies. Throws NOT_OBSERVED.
   */
  observe(spec: DeckySpec, pid: number, inDoubt?: boolean): Promise<ObservedGuard | undefined>;
  /** Every call may be repeated. Throws APPLY_FAILED. */
  lay(guard: GuardSpec, pid: number, signal: AbortSignal): Promise<void>;
  /** Forgets all other processes. */
  retain(pids: ReadonlySet<number>): void;
}

export interface GuardsOptions {
  readonly dataDir: string;
  readonly catalog: Pick<Catalog, "services">;
  readonly rights: Pick<LanRights, "adopted">;
  readonly isOn: boolean;
}

const commandMs = 10_000;
/** How old the rules of one namespace may be while nothing is wrong: nobody but root on the host can change them. */
const freshMs = 4_000;

interface Rules {
  readonly listing: string | undefined;
  readonly denied: number;
}

interface Kept extends Rules {
  readonly process: ObservedProcess;
  readonly readAt: number;
  /** Spreads the next readings of what was read at one time. */
  readonly share: number;
  /** Read since something was found to be wrong. */
  readonly inDoubt: boolean;
}

/**
 * Reading rules takes a program, routes a file. While a namespace is the same and its rules were read lately they are taken to be
 * as they were; all readings together take at most a tenth of the time, however many deckies there are. In doubt they are read
 * once more within that time, so that what went together is put right together.
 */
export async function openGuards({ dataDir, catalog, rights, isOn }: GuardsOptions): Promise<Guards> {
  const notes = await openGuardNotes(dataDir);
  const kept = new Map<number, Kept>();
  let readingMs = 0;
  const context = {
    egressOf: (slug: string) => catalog.services.get(slug)?.egress ?? [],
    isShared: ({ driver, name }: { readonly driver: string; readonly name: string }) =>
      driver !== "bridge" || rights.adopted.has(name),
  };
  const keep = (pid: number, process: ObservedProcess, { listing, denied }: Rules, inDoubt: boolean) =>
    kept.set(pid, { process, listing, denied, readAt: performance.now(), share: 0.5 + Math.random() / 2, inDoubt });

  /** Undefined: the process is gone. */
  const rulesOf = async (pid: number, inDoubt: boolean): Promise<Rules | { readonly unable: string } | undefined> => {
    const process = await observeProcess(pid);
    if (process === undefined) return undefined;
    const before = kept.get(pid);
    const isSame = before?.process.startTime === process.startTime && before.process.netns === process.netns;
    const limit = ageLimit(freshMs, kept.size, readingMs) * (before?.share ?? 0);
    const isGood = isSame && (before.inDoubt || !inDoubt);
    if (isGood && performance.now() - before.readAt < limit) return before;
    const begun = performance.now();
    const listed = await within(pid, ["nft", "-n", "list", "table", "inet", guardTable], AbortSignal.timeout(2 * commandMs));
    if ("unable" in listed) return listed;
    // The pid may be another process by now, in another namespace.
    if ((await observeProcess(pid))?.netns !== process.netns) return undefined;
    const rules = readRules(listed);
    readingMs += (performance.now() - begun - readingMs) / 10;
    keep(pid, process, rules, inDoubt);
    return rules;
  };

  return {
    async observe(spec, pid, inDoubt = false) {
      if (!isOn) return undefined;
      const wanted = guardOf(spec, context);
      const unseen = { wanted, flaw: "", unable: "", denied: 0 };
      const rules = pid === 0 ? undefined : await rulesOf(pid, inDoubt);
      if (rules === undefined) return unseen;
      if ("unable" in rules) return { ...unseen, unable: rules.unable };
      const [table, counts] = [readProcFile(`/proc/${pid}/net/route`), readProcFile(`/proc/${pid}/net/snmp`)];
      if (table === undefined || counts === undefined) return unseen;
      const seen = { rules: rules.listing, routes: parseRoutes(table), forwards: isForwarding(counts), denied: rules.denied };
      return { ...unseen, flaw: judgeGuard(wanted, seen, notes), denied: rules.denied };
    },
    async lay(guard, pid, signal) {
      const process = await observeProcess(pid);
      if (process === undefined) throw new AppError("APPLY_FAILED", "the base does not run any more");
      const surplus = differRoutes(guard, parseRoutes(readProcFile(`/proc/${pid}/net/route`) ?? "")).surplus;
      const routes = [
        ...guard.routes.map(({ to, via }) => `replace ${to} via ${via}`),
        ...surplus.map(({ to, via }) => `del ${to} via ${via}`),
      ];
      kept.delete(pid);
      const done = await within(
        pid,
        ["sh", "-ec", layScript, "guard", guard.rules, guard.forwards ? "1" : "0", ...routes],
        signal,
      );
      signal.throwIfAborted();
      if ("unable" in done) throw new AppError("APPLY_FAILED", done.unable);
      if (done.exitCode !== 0)
        throw new AppError("APPLY_FAILED", `guarding the decky ended with exit code ${done.exitCode ?? "none"}`, {
          outputTail: done.tail,
        });
      if ((await observeProcess(pid))?.netns !== process.netns) throw new AppError("APPLY_FAILED", "the base was started again");
      const rules = readRules(done);
      if (rules.listing !== undefined) await notes.note(guard.rules, rules.listing);
      keep(pid, process, rules, false);
    },
    retain(pids) {
      for (const pid of kept.keys()) if (!pids.has(pid)) kept.delete(pid);
    },
  };
}

/** Rules before routes before forwarding: at no moment is more open than is wanted. What was put there is listed at the end. */
const layScript = `
nft "$1"
forwards=$2
shift 2
for route; do ip route $route || [ "\${route%% *}" = del ]; done
read -r now < /proc/sys/net/ipv4/ip_forward || :
[ "$now" = "$forwards" ] || echo "$forwards" > /proc/sys/net/ipv4/ip_forward
nft -n list table inet ${guardTable}
`;

/** In the network namespace of a process, and in no other of its namespaces: the programs are the host's. */
async function within(
  pid: number,
  command: readonly string[],
  signal: AbortSignal,
): Promise<CommandResult | { readonly unable: string }> {
  const result = await runCommand("nsenter", ["-t", String(pid), "-n", ...command], { timeoutMs: commandMs, signal }).catch(
    (error: unknown) => {
      if (codeOf(error instanceof Error ? error.cause : undefined) === "ENOENT") return undefined;
      throw notObserved("nsenter cannot be run", error);
    },
  );
  if (result === undefined) return { unable: cannot("nsenter", "is not on this host: install it (apt-get install util-linux)") };
  const said = result.tail.join(" ");
  if (result.exitCode === 0) return result;
  if (/reassociate.*not permitted|cannot open.*denied/i.test(said))
    return { unable: cannot("nsenter", "may not be used by this program: run it as root") };
  if (/execute nft|nft: not found/.test(said))
    return { unable: cannot("nft", "is not on this host: install it (apt-get install nftables)") };
  if (/\bip: not found/.test(said)) return { unable: cannot("ip", "is not on this host: install it (apt-get install iproute2)") };
  return result;
}

function cannot(program: string, why: string): string {
  const way = "or set DECNET_CONTAINMENT=off to run deckies without";
  return `deckies could call out: ${program}, which keeps them from that, ${why}; ${way}`;
}

/** Throws NOT_OBSERVED. */
function readRules({ exitCode, stdout, tail, ended }: CommandResult): Rules {
  if (exitCode === 0) {
    const read = readGuard(stdout);
    return { listing: digestOf(read.rules), denied: read.denied };
  }
  if (ended === "exit" && /^Error: No such file or directory/m.test(tail.join("\n"))) return { listing: undefined, denied: 0 };
  throw notObserved(`what a decky may reach: ${ended === "exit" ? tail.join(" ") : ended}`);
}

/** The second line has the values; 1 means that packets of others are forwarded. */
function isForwarding(snmp: string): boolean {
  return /^Ip: 1 /m.test(snmp);
}
