import type { DeckySpec } from "../spec.ts";
import type { ImageContents } from "./images.ts";
import { type RenderContext, type RenderedDecky, renderDecky } from "./render-decky.ts";

/** Specs never change: one that comes again, drift check after drift check, is rendered once for what its build base is. */
export interface Renderer {
  render(spec: DeckySpec, contents: ImageContents): RenderedDecky;
}

export function createRenderer(
  context: Omit<RenderContext, "projectDir" | "contents">,
  folderOf: (spec: DeckySpec) => string,
): Renderer {
  const kept = new WeakMap<DeckySpec, { readonly content: string | undefined; readonly rendered: RenderedDecky }>();
  return {
    render(spec, contents) {
      const content = contents.get(spec.buildBase);
      const before = kept.get(spec);
      if (before !== undefined && before.content === content) return before.rendered;
      const rendered = renderDecky(spec, { ...context, projectDir: folderOf(spec), contents });
      kept.set(spec, { content, rendered });
      return rendered;
    },
  };
}
