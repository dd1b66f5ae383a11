import type { ObservedHost } from "../observe/observed.ts";
import { containmentTroubles } from "../policy/plan-containment.ts";
import { differPublications, publicationTroubles } from "../policy/published.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { deckyKey } from "../spec.ts";

/** What is wrong around a decky on its host, for people. */
export function troublesOf(
  { spec, publications }: Pick<RenderedDecky, "spec" | "publications">,
  { containments, published }: Pick<ObservedHost, "containments" | "published">,
): string[] {
  return [
    ...containmentTroubles(containments),
    ...publicationTroubles(differPublications(publications, deckyKey(spec), published)),
  ];
}
