import type { PresentTarget } from "@decnet/engine/wire/decky-spec";

/** As few of the targets as are needed to name every image that any of them is made of. */
export function withEachImage(targets: readonly PresentTarget[]): PresentTarget[] {
  const named = new Set<string>();
  return targets.filter(({ spec: { baseImage, buildBase, services } }) => {
    const images = [baseImage, ...services.map(({ slug }) => `${slug} on ${buildBase}`)];
    const isNews = images.some((image) => !named.has(image));
    for (const image of images) named.add(image);
    return isNews;
  });
}
