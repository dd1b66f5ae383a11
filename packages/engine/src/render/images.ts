import { createHash } from "node:crypto";
import type { ServiceDefinition } from "../catalog/types.ts";

/** How to build an image. */
export interface ImageRecipe {
  /** Changes with everything that goes into the image: the build context, and what the build base consists of. */
  readonly tag: string;
  readonly context: string;
  readonly buildBase: string;
}

/** What references of images stand for on this host: hashes of their content. One that was never seen is not in it. */
export type ImageContents = ReadonlyMap<string, string>;

/** A reference by digest is its content, on every host and for ever. */
export function isPinned(reference: string): boolean {
  return reference.includes("@sha256:");
}

export function serviceImage(entry: ServiceDefinition, buildBase: string, contents: ImageContents): ImageRecipe {
  const base = isPinned(buildBase) ? "" : (contents.get(buildBase) ?? "");
  const parts = [entry.image.contextHash, buildBase, ...(base === "" ? [] : [base])];
  const content = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 16);
  return { tag: `decnet/${entry.slug}:${content}`, context: entry.image.context, buildBase };
}

/** An image of the engine by one of its tags. */
export interface StoredImage {
  readonly tag: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** By a container, running or not. */
  readonly isUsed: boolean;
}

/** Everything that this catalog can be asked for. */
export function offeredTags(
  services: Iterable<ServiceDefinition>,
  buildBases: readonly string[],
  contents: ImageContents,
): Set<string> {
  return new Set([...services].flatMap((entry) => buildBases.map((base) => serviceImage(entry, base, contents).tag)));
}

/**
 * Tags that nothing needs any more: made from an earlier state of a service that is on offer, used by no container, older than
 * `graceMs`, and not the newest of its kind, which is what an older catalog would need again. Pure.
 */
export function superfluousTags(
  images: readonly StoredImage[],
  offered: ReadonlySet<string>,
  { now, graceMs }: { readonly now: number; readonly graceMs: number },
): string[] {
  const repositoryOf = (tag: string) => tag.slice(0, tag.lastIndexOf(":"));
  const repositories = new Set([...offered].map(repositoryOf));
  const superseded = images
    .filter(({ tag }) => repositories.has(repositoryOf(tag)) && /:[0-9a-f]{16}$/.test(tag) && !offered.has(tag))
    .sort((left, right) => right.createdAt - left.createdAt);
  const newest = new Set(
    superseded.filter(({ tag }, at) => superseded.findIndex((other) => repositoryOf(other.tag) === repositoryOf(tag)) === at),
  );
  return superseded
    .filter((image) => !newest.has(image) && !image.isUsed && now - image.createdAt > graceMs)
    .map(({ tag }) => tag);
}
