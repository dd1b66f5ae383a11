import { createHash } from "node:crypto";
import type { CatalogueService } from "../catalogue/types.ts";

/** How to get an image: build it from a context, or have it there already. */
export interface ImageRecipe {
  /** Changes with the build context and with the image it is built from. */
  readonly tag: string;
  readonly context: string;
  readonly buildBase: string;
}

export function serviceImage(entry: CatalogueService, buildBase: string): ImageRecipe {
  const content = createHash("sha256").update(`${entry.image.contextHash}\n${buildBase}`).digest("hex").slice(0, 16);
  return { tag: `decnet/${entry.slug}:${content}`, context: entry.image.context, buildBase };
}
