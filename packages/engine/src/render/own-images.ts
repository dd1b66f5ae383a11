/** Anybody may own our names in a public registry: an image of ours is made on its host, or it is not there. */
export function isOurs(reference: string): boolean {
  return /^((index\.|registry-1\.)?docker\.io\/)?decnet\//.test(reference);
}

/** Images that a Dockerfile names as they are. What it takes from arguments or from earlier stages is not in it. */
export function namedImages(dockerfile: string): string[] {
  const from = /^\s*FROM\s+(?:--\S+\s+)*(\S+)/gim;
  const copied = /^\s*(?:COPY|RUN)\s.*?\bfrom=([^\s,]+)/gim;
  const named = [from, copied].flatMap((pattern) => [...dockerfile.matchAll(pattern)].map(([, image = ""]) => image));
  return [...new Set(named.filter((image) => image !== "" && !image.includes("$")))];
}

/**
 * What a build calls its base: a place on this host where no registry can be. Under its own name, a base that vanishes between a
 * look and the build would be asked for in a public registry.
 */
export function privateBase(tag: string): string {
  return `127.0.0.1:1/${tag.replace(":", "-base:")}`;
}

/** What is said of an image that somebody gave the tag of one of ours. */
export const otherImage = "is not the one that was built here";
