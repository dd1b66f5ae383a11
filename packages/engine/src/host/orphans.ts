import { AppError } from "@decnet/common/errors/app-error";
import { runCommand } from "../docker/run-command.ts";
import { removeProject } from "../execute/project-files.ts";
import {
  findOrphans,
  type HostBelongings,
  type HostOrphans,
  type Marked,
  type Orphan,
  type OrphanView,
  type OtherInstallation,
  orphanKey,
  orphansOfOther,
  otherInstallations,
  viewOf,
} from "../observe/leftovers.ts";
import { observeLeftovers, rulesOf } from "../observe/observe-leftovers.ts";
import { userChain } from "../policy/user-chain.ts";
import type { HostParts } from "./host-parts.ts";

export interface OrphanRemoval {
  /** Empty: this one. */
  readonly installation: string;
  /** Those that somebody was shown and agreed to; see `orphanKey`. */
  readonly keys: ReadonlySet<string>;
  readonly belongings: () => Promise<HostBelongings>;
  readonly signal: AbortSignal;
}

export interface RemovedOrphan {
  readonly orphan: OrphanView;
  /** Why it is still there; empty when it was seen to be gone. */
  readonly problem: string;
}

/** The engine lists them, or nothing is listed at all. */
const byEngine: ReadonlySet<Marked["kind"]> = new Set(["container", "network", "volume"]);
const graceSeconds = 2;
const commandMs = 10_000;

interface FoundOrphans {
  readonly orphans: readonly Orphan[];
  readonly others: readonly OtherInstallation[];
  readonly unseen: readonly string[];
}

/** Throws ENGINE_UNAVAILABLE. */
export async function listOrphans(
  parts: HostParts,
  installation: string,
  belongings: () => Promise<HostBelongings>,
): Promise<HostOrphans> {
  const { orphans, ...rest } = await find(parts, installation, belongings);
  return { ...rest, orphans: orphans.map(viewOf) };
}

/** Looks first: what is made after that is not in the list, and what was made before it belongs to somebody by then. */
async function find(parts: HostParts, installation: string, belongings: () => Promise<HostBelongings>): Promise<FoundOrphans> {
  const { marked, folders, unseen } = await observeLeftovers(parts);
  const others = otherInstallations(marked, parts.instance, folders);
  if (installation === "" || installation === parts.instance)
    return { orphans: findOrphans(marked, await belongings(), parts.instance), others, unseen };
  const other = others.find((each) => each.installation === installation);
  return { orphans: other === undefined ? [] : orphansOfOther(marked, other), others, unseen };
}

/**
 * Each is removed by what the host knows it by, never by its name alone, and only while it is an orphan still. One that cannot be
 * removed does not keep the others. Throws INSTALLATION_KEPT for all of an installation whose data is here.
 */
export async function removeOrphans(parts: HostParts, removal: OrphanRemoval): Promise<RemovedOrphan[]> {
  const { installation, keys, belongings, signal } = removal;
  const look = () => find(parts, installation, belongings);
  const { orphans, others } = await look();
  const other = others.find((each) => each.installation === installation);
  if (other?.isKept === true) {
    const message = `the installation ${installation}, ${other.standing}, is another one's: nothing of it is removed from here`;
    throw new AppError("INSTALLATION_KEPT", message, { metadata: { installation } });
  }
  const wanted = orphans.filter((orphan) => keys.has(orphanKey(orphan)));
  const problems = new Map<string, string>();
  for (const orphan of wanted) {
    signal.throwIfAborted();
    try {
      await removeOne(parts, orphan, signal);
    } catch (error) {
      signal.throwIfAborted();
      problems.set(orphanKey(orphan), error instanceof Error ? error.message : String(error));
    }
  }
  if (wanted.some(({ kind, installation: of }) => kind === "network" && of === parts.instance)) {
    await parts.admissions.release(signal).catch(() => undefined);
    await parts.containment.release(signal).catch(() => undefined);
  }
  const { orphans: left, unseen } = await look();
  const present = new Set(left.map(orphanKey));
  return wanted.map((orphan) => {
    const key = orphanKey(orphan);
    const problem = problems.get(key);
    if (present.has(key)) return { orphan: viewOf(orphan), problem: problem ?? "is still there" };
    // What somebody else removed at the same time is gone as well.
    if (unseen.length === 0 || byEngine.has(orphan.kind)) return { orphan: viewOf(orphan), problem: "" };
    return { orphan: viewOf(orphan), problem: problem ?? `it was not seen whether it is gone: ${unseen.join("; ")}` };
  });
}

async function removeOne(parts: HostParts, orphan: Orphan, signal: AbortSignal): Promise<void> {
  const { api, links } = parts;
  const { kind, id, installation } = orphan;
  switch (kind) {
    case "container":
      await api.stop(id, graceSeconds);
      return api.remove(id);
    case "network":
      return removeNetwork(parts, orphan, signal);
    case "volume":
      return api.dropVolume(id);
    case "link":
      return links.removeHelpers(id, signal);
    case "project":
      return removeProject(id);
    case "rules":
      return installation === parts.instance ? removeOwnRules(parts, orphan, signal) : removeRules(orphan, signal);
    default:
      return kind satisfies never;
  }
}

/** A network that a decky of ours is just being put on stays. */
async function removeNetwork({ api, lanUse }: HostParts, network: Orphan, signal: AbortSignal): Promise<void> {
  const users = await api.usersOf(network);
  if (users.length > 0) throw new Error(`is used by ${users.slice(0, 5).join(", ")}`);
  await lanUse.unlessUsed(network.name, signal, () => api.dropNetwork(network.id));
}

/** What is published and what contains are one table each: what is left of them stays. */
async function removeOwnRules({ publisher, containment, admissions }: HostParts, { id, decky }: Marked, signal: AbortSignal) {
  const there = await publisher.look().there();
  const gone = decky === "" ? there : there.filter((each) => each.decky === decky);
  await publisher.change({ add: [], remove: gone }, signal);
  if (decky === "") await admissions.release(signal);
  if (decky === "" && id.startsWith("inet ")) await containment.release(signal);
}

async function removeRules({ id, installation }: Marked, signal: AbortSignal): Promise<void> {
  if (id.startsWith(`${userChain} `)) {
    for (const rule of await rulesOf(installation)) await run("iptables", ["-w", "5", "-D", ...rule], signal);
    return;
  }
  const [family = "", table = ""] = id.split(" ");
  await run("nft", ["delete", "table", family, table], signal);
}

async function run(file: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const { exitCode, tail } = await runCommand(file, args, { timeoutMs: commandMs, signal });
  if (exitCode !== 0) throw new Error(`${file} ended with exit code ${exitCode ?? "none"}: ${tail.join(" ")}`);
}
