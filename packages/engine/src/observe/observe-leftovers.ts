import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { LeftoverCalls } from "../docker/leftover-calls.ts";
import { type CommandResult, runCommand } from "../docker/run-command.ts";
import type { Publication } from "../policy/publication.ts";
import { publicationKey } from "../policy/published.ts";
import { readUserChain, userChain } from "../policy/user-chain.ts";
import type { ObservedLinks } from "./host-access.ts";
import { commentIn, type DataPlace, installationIn, type Marked, markedLink, markedRules, markedTables } from "./leftovers.ts";
import { absentCodes, codeOf, unlessAbsentLater } from "./not-observed.ts";

export interface LeftoverSources {
  readonly api: LeftoverCalls;
  readonly observeLinks: () => Promise<ObservedLinks>;
  readonly publisher: { look(): { there(): Promise<readonly Publication[]> } };
  readonly instance: string;
  /** Folders of deckies' projects are in it. */
  readonly projectsFolder: string;
}

export interface ObservedLeftovers {
  readonly marked: readonly Marked[];
  /** Data folders of other installations. */
  readonly folders: ReadonlyMap<string, ReadonlyMap<string, DataPlace>>;
  readonly unseen: readonly string[];
}

const commandMs = 10_000;

/** Throws ENGINE_UNAVAILABLE. What else cannot be looked at is said. */
export async function observeLeftovers(sources: LeftoverSources): Promise<ObservedLeftovers> {
  const { api, instance } = sources;
  const { things, projects } = await api.marked();
  const unseen: string[] = [];
  const seen = async (what: string, look: () => Promise<readonly Marked[]>): Promise<readonly Marked[]> => {
    try {
      return await look();
    } catch (error) {
      unseen.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  };
  const marked = [
    things,
    await seen("interfaces", async () => (await sources.observeLinks()).helpers.flatMap(markedLink)),
    await seen("tables of nftables", async () => markedTables(await listing("nft", ["list", "tables"]))),
    await seen(`rules of ${userChain}`, async () => markedRules(userChain, await chainListing())),
    await seen("published ports", () => markedPublications(sources)),
    await seen("projects", () => markedProjects(sources)),
  ];
  const others = [...projects].filter(([installation]) => installation !== instance);
  const own = dirname(sources.projectsFolder);
  const folders = await Promise.all(others.map(async ([each, all]) => [each, await placesOf(all, own)] as const));
  return { marked: marked.flat(), folders: new Map(folders), unseen };
}

/** A project is in `<data>/deckies/<decky>`. What cannot be looked at counts as there. */
async function placesOf(projects: ReadonlySet<string>, own: string): Promise<ReadonlyMap<string, DataPlace>> {
  const data = new Set([...projects].map((folder) => dirname(dirname(folder))));
  const found = [...data].map(async (folder): Promise<[string, DataPlace]> => {
    if (folder === own) return [folder, "ours"];
    const isGone = await stat(folder).then(
      () => false,
      (error: unknown) => absentCodes.has(codeOf(error)),
    );
    return [folder, isGone ? "gone" : "there"];
  });
  return new Map(await Promise.all(found));
}

async function markedPublications({ publisher, instance }: LeftoverSources): Promise<Marked[]> {
  const there = await publisher.look().there();
  return there.map((each) => {
    const name = `${each.port}/${each.protocol} of ${each.address}`;
    return { kind: "rules", id: `${publicationKey(each)} ${each.to}`, name, installation: instance, decky: each.decky };
  });
}

/** Of this installation alone: nobody else's data is looked into. A folder is named as its decky's base. */
async function markedProjects({ projectsFolder, instance }: LeftoverSources): Promise<Marked[]> {
  const names = (await unlessAbsentLater(() => readdir(projectsFolder))) ?? [];
  return names.map((name) => ({
    kind: "project",
    id: join(projectsFolder, name),
    name,
    installation: instance,
    decky: "",
  }));
}

/** The comment on an installation's rules in the engine's chain, with the rules themselves as `iptables -D` takes them. */
export async function rulesOf(installation: string): Promise<string[][]> {
  return (await chainListing())
    .split("\n")
    .filter((line) => line.startsWith(`-A ${userChain} `) && installationIn(commentIn(line) ?? "") === installation)
    .map((line) => line.replaceAll('"', "").split(" ").slice(1));
}

/** Nothing of a chain that is not there. Throws when that is not known. */
async function chainListing(): Promise<string> {
  const chain = await ran("iptables", ["-w", "5", "-S", userChain]);
  const isListed = chain === undefined || chain.exitCode === 0;
  const read = readUserChain(chain, isListed ? undefined : await ran("iptables", ["-w", "5", "-S"]));
  if (read.kind === "unknown") throw new Error(read.why);
  return read.kind === "listed" ? read.rules : "";
}

/** Without the program nobody has made such rules here. Throws when it says that it could not look. */
async function listing(file: string, args: readonly string[]): Promise<string> {
  const done = await ran(file, args);
  if (done === undefined || done.exitCode === 0) return done?.stdout ?? "";
  throw new Error(`${file} ended with exit code ${done.exitCode ?? "none"}: ${done.tail.join(" ")}`);
}

/** Undefined: there is no such program here. */
async function ran(file: string, args: readonly string[]): Promise<CommandResult | undefined> {
  try {
    return await runCommand(file, args, { timeoutMs: commandMs, signal: AbortSignal.timeout(commandMs) });
  } catch (error) {
    if (codeOf(error instanceof Error ? error.cause : undefined) === "ENOENT") return undefined;
    throw error;
  }
}
