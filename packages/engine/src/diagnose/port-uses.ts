import type { CatalogPort } from "../catalog/types.ts";
import type { ObservedContainer, ObservedSockets } from "../observe/observed.ts";
import type { TakenPort } from "./diagnosis.ts";

/** What has become of the ports of one service. */
export interface PortUses {
  /** It listens there itself, and nobody else does. */
  readonly own: readonly string[];
  readonly taken: readonly TakenPort[];
  /** Nobody listens there. */
  readonly silent: readonly string[];
}

/**
 * A port is a service's own when a process of its container has the socket. Whoever else listens there too may get what was
 * meant for it, but for a socket that only the decky itself reaches. Pure.
 */
export function usesOf(
  ports: readonly CatalogPort[],
  seen: Pick<ObservedContainer, "id"> | undefined,
  { uses }: Pick<ObservedSockets, "uses">,
): PortUses {
  const own: string[] = [];
  const taken: TakenPort[] = [];
  const silent: string[] = [];
  for (const { number, protocol } of ports) {
    const port = `${number}/${protocol}`;
    const here = uses.filter((use) => use.port === port);
    const isOwn = (use: (typeof here)[number]) => seen !== undefined && use.holder?.container === seen.id;
    const isReached = here.some((use) => isOwn(use) && !use.isLocal);
    const other = here.find((use) => !isOwn(use) && !(isReached && use.isLocal));
    if (other !== undefined) taken.push({ port, holder: other.holder });
    else if (isReached) own.push(port);
    else silent.push(port);
  }
  return { own, taken, silent };
}

const whatToDo = "end that process, or remove the service; what is wanted is tried again by itself once the port is free";

/** Says who has each port, and what to do about it. */
export function takenSentences(taken: readonly TakenPort[], containers: readonly ObservedContainer[]): string[] {
  const held = taken.map(({ port, holder }) => {
    if (holder === undefined) return `${port} is held by a process that cannot be seen`;
    return `${port} is held by process ${holder.pid} (${holder.command}) ${placeOf(holder.container, containers)}`;
  });
  return held.length === 0 ? [] : [...held, whatToDo];
}

function placeOf(id: string, containers: readonly Pick<ObservedContainer, "id" | "name" | "role" | "service">[]): string {
  const container = containers.find((each) => each.id === id);
  if (container !== undefined)
    return container.role === "base" ? `in the base ${container.name}` : `in ${container.name} (service ${container.service})`;
  return id === "" ? "of the host, in no container" : `in container ${id.slice(0, 12)}, which is not of this decky`;
}
