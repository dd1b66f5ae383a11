import { deckyNames } from "../render/names.ts";
import { type AttachmentSpecs, deckyKey } from "../spec.ts";

/** What a host has that carries an installation's mark, and to whom it belongs. Pure. */

/** In the order in which they can go: what is used by others comes after those. */
export const leftoverKinds = ["container", "network", "volume", "rules", "link", "project"] as const;
export type LeftoverKind = (typeof leftoverKinds)[number];

/** Something with the mark of an installation: its label, its name with the installation's whole id, or its place. */
export interface Marked {
  readonly kind: LeftoverKind;
  /** What the host knows it by, and nothing else has: the id of a container, the name of a table. */
  readonly id: string;
  readonly name: string;
  readonly installation: string;
  /** `<scope>/<name>`; empty when it says none. */
  readonly decky: string;
  /** Of a network, or of the way to one: its name. */
  readonly lan?: string;
}

/** What belongs on a host: its deckies by key, and their networks by name. */
export interface HostBelongings {
  readonly deckies: ReadonlySet<string>;
  readonly lans: ReadonlySet<string>;
}

/** Something that belongs to nothing here. */
export interface Orphan extends Marked {
  readonly reason: string;
}

/** Another installation that has something on this host. */
export interface OtherInstallation {
  readonly installation: string;
  readonly count: number;
  /** For people: what is known of it. */
  readonly standing: string;
  /** Its data folder is on this host: it goes on, or can be taken up again, and nothing of it is removed from here. */
  readonly isKept: boolean;
}

/** An orphan as it is told. */
export interface OrphanView {
  /** Names it among everything on its host: `container/4f1c…`. */
  readonly key: string;
  readonly kind: string;
  readonly name: string;
  readonly installation: string;
  readonly reason: string;
}

export function viewOf({ kind, id, name, installation, reason }: Orphan): OrphanView {
  return { key: orphanKey({ kind, id }), kind, name, installation, reason };
}

/** What belongs to nothing, of this installation or of another one that was named. */
export interface HostOrphans {
  readonly orphans: readonly OrphanView[];
  readonly others: readonly OtherInstallation[];
  /** What could not be looked at, for people: of that it is not known what is there. */
  readonly unseen: readonly string[];
}

export function belongingsOf(
  deckies: readonly { readonly scope: string; readonly name: string; readonly attachments: AttachmentSpecs }[],
): HostBelongings {
  return {
    deckies: new Set(deckies.map(deckyKey)),
    lans: new Set(deckies.flatMap(({ attachments }) => attachments.map(({ lan }) => lan.name))),
  };
}

/** What of one installation belongs to no decky here. */
export function findOrphans(marked: readonly Marked[], belongings: HostBelongings, instance: string): Orphan[] {
  const own = marked.filter(({ installation }) => installation === instance);
  const bases = new Set([...belongings.deckies].map(baseName));
  return inOrder(
    own.flatMap((each): Orphan[] => {
      const reason = reasonOf(each, belongings, bases);
      return reason === "" ? [] : [{ ...each, reason }];
    }),
  );
}

/** All of another installation: none of it belongs to this one. */
export function orphansOfOther(marked: readonly Marked[], { installation, standing }: OtherInstallation): Orphan[] {
  const reason = `belongs to the installation ${installation}, ${standing}`;
  return inOrder(marked.filter((each) => each.installation === installation).map((each) => ({ ...each, reason })));
}

/** Where the data of another installation was made: it is there, it is gone, or this installation has that place now. */
export type DataPlace = "there" | "gone" | "ours";

/** `folders`: the data folders of each installation, as its containers tell them. */
export function otherInstallations(
  marked: readonly Marked[],
  instance: string,
  folders: ReadonlyMap<string, ReadonlyMap<string, DataPlace>>,
): OtherInstallation[] {
  const counts = new Map<string, number>();
  for (const { installation } of marked)
    if (installation !== instance) counts.set(installation, (counts.get(installation) ?? 0) + 1);
  return [...counts].sort().map(([installation, count]) => {
    const known = [...(folders.get(installation) ?? [])];
    const isKept = known.some(([, place]) => place === "there");
    return { installation, count, standing: standingOf(known), isKept };
  });
}

function standingOf(known: readonly (readonly [folder: string, place: DataPlace])[]): string {
  const [folder, place] = known.find((each) => each[1] === "there") ?? known.find((each) => each[1] === "ours") ?? known[0] ?? [];
  if (folder === undefined) return "of which no data is known on this host";
  if (place === "there") return `whose data is in ${folder}`;
  if (place === "ours") return `which had ${folder} before this one`;
  return `whose data is not on this host any more: it was in ${folder}`;
}

/** Empty: it belongs to a decky here. */
function reasonOf({ kind, name, decky, lan }: Marked, { deckies, lans }: HostBelongings, bases: ReadonlySet<string>): string {
  if (kind === "project") return bases.has(name) ? "" : "holds the files of a decky that is not on this host";
  if (decky !== "") return deckies.has(decky) ? "" : `was made for ${nameOf(decky)}, which is no decky of this host`;
  if (lan !== undefined) return lans.has(lan) ? "" : "is of a network that no decky of this host is on";
  // One table is for all deckies.
  if (kind === "rules") return deckies.size === 0 ? "is for deckies, and there are none on this host" : "";
  return "does not say for which decky it was made";
}

function baseName(key: string): string {
  const [scope = "", name = ""] = key.split("/");
  return deckyNames(scope, name).base;
}

function nameOf(decky: string): string {
  return decky.replace(/^fleet\//, "");
}

function inOrder(orphans: readonly Orphan[]): Orphan[] {
  const rank = ({ kind, name, id }: Orphan) => `${leftoverKinds.indexOf(kind)} ${name} ${id}`;
  return orphans.toSorted((one, other) => (rank(one) < rank(other) ? -1 : 1));
}

export function orphanKey({ kind, id }: Pick<Marked, "kind" | "id">): string {
  return `${kind}/${id}`;
}

/** An installation's id at the end of a name that we make. */
const markedName = /^decnet-(?:[a-z]+-)*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** The installation that a name of ours ends with; undefined for any other name. */
export function installationIn(name: string): string | undefined {
  return markedName.exec(name)?.[1];
}

/** Tables of ours in `nft list tables`. */
export function markedTables(listing: string): Marked[] {
  return [...listing.matchAll(/^table (\S+) (\S+)$/gm)].flatMap(([, family = "", name = ""]): Marked[] => {
    const installation = installationIn(name);
    return installation === undefined ? [] : [{ kind: "rules", id: `${family} ${name}`, name, installation, decky: "" }];
  });
}

/** Rules of ours in `iptables -S CHAIN`, one entry for each installation. */
export function markedRules(chain: string, listing: string): Marked[] {
  const found = new Map<string, Marked>();
  for (const line of listing.split("\n")) {
    const comment = commentIn(line);
    const installation = comment === undefined ? undefined : installationIn(comment);
    if (comment === undefined || installation === undefined) continue;
    found.set(installation, {
      kind: "rules",
      id: `${chain} ${comment}`,
      name: `${comment} in ${chain}`,
      installation,
      decky: "",
    });
  }
  return [...found.values()];
}

export function commentIn(rule: string): string | undefined {
  return /--comment "?([^"\s]+)"?/.exec(rule)?.[1];
}

/** A helper interface says by its alias whose it is: `decnet <installation> <network>`. */
export function markedLink({ name, owner }: { readonly name: string; readonly owner: string }): Marked[] {
  const [, installation, lan = ""] = /^decnet (\S+) (\S+)$/.exec(owner) ?? [];
  return installation === undefined ? [] : [{ kind: "link", id: owner, name, installation, decky: "", lan }];
}
