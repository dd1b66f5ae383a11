import { type ImageContents, isPinned } from "../render/images.ts";

/**
 * What build bases consist of on this host. One that is gone counts as what it was last seen as: images that were built from it
 * are still the right ones.
 */
export interface BaseContents {
  observe(references: Iterable<string>): Promise<ImageContents>;
  /** Asks only for those that were never seen. */
  remember(references: Iterable<string>): Promise<ImageContents>;
}

export function createBaseContents(contentOf: (reference: string) => Promise<string | undefined>): BaseContents {
  const known = new Map<string, string>();
  const observe = async (references: Iterable<string>) => {
    const moving = [...new Set(references)].filter((reference) => !isPinned(reference));
    await Promise.all(
      moving.map(async (reference) => {
        const content = await contentOf(reference);
        if (content !== undefined) known.set(reference, content);
      }),
    );
    return known;
  };
  return {
    observe,
    remember: (references) => observe([...references].filter((reference) => !known.has(reference))),
  };
}
