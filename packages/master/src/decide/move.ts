import type { Decky } from "../model/decky.ts";

/**
 * What changes of a decky that is to live on another host: it has to be removed from every host that may have something of it.
 */
export function moveTo(
  { host: from, pendingRemovals }: Pick<Decky, "host" | "pendingRemovals">,
  host: string,
  isTold = true,
): Pick<Decky, "host" | "pendingRemovals" | "renderedRevision"> {
  const left = [...pendingRemovals.filter((other) => other !== from), ...(isTold ? [from] : [])];
  return { host, pendingRemovals: left.filter((other) => other !== host), renderedRevision: 0 };
}
