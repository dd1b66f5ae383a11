import { StepFailed } from "../execute/step-failed.ts";
import { offeredTags, superfluousTags } from "../render/images.ts";
import type { DeckySpec } from "../spec.ts";
import { distros } from "../tables/distros.ts";
import type { HostParts } from "./host-parts.ts";

export interface PreparedImage {
  readonly tag: string;
  /** Empty when the image is there. */
  readonly problem: string;
  readonly outputTail: readonly string[];
}

/** One after another; after a failure the next one is tried. */
export async function prepareImages(
  { bases, renderer, images }: HostParts,
  specs: readonly DeckySpec[],
  signal: AbortSignal,
): Promise<PreparedImage[]> {
  const contents = await bases.observe(specs.map((spec) => spec.buildBase));
  const wanted = specs
    .map((spec) => renderer.render(spec, contents))
    .flatMap(({ base, services }) => [base.image, ...services.map((service) => service.image)]);
  const byTag = new Map(wanted.map((image) => [typeof image === "string" ? image : image.tag, image]));
  const prepared: PreparedImage[] = [];
  for (const [tag, image] of byTag) {
    try {
      await images.prepare(image, signal);
      prepared.push({ tag, problem: "", outputTail: [] });
    } catch (error) {
      if (!(error instanceof StepFailed)) throw error;
      prepared.push({ tag, problem: error.message, outputTail: error.outputTail });
    }
  }
  return prepared;
}

const imageGraceMs = 86_400_000;

/** Removes images of ours that nothing needs any more, and returns their tags. */
export async function pruneImages({ api, bases, built, catalog }: HostParts): Promise<string[]> {
  const buildBases = [...new Set(distros.map((distro) => distro.buildBase))];
  const offered = offeredTags(catalog.services.values(), buildBases, await bases.observe(buildBases));
  const superfluous = superfluousTags(await api.listImages("decnet/"), offered, { now: Date.now(), graceMs: imageGraceMs });
  for (const tag of superfluous) await api.removeImage(tag);
  await built.forget(superfluous);
  return superfluous;
}
