import type { ContainerCalls } from "../docker/container-calls.ts";
import { deckyKey, type Scope } from "../spec.ts";
import { observeInterfaces } from "./interfaces.ts";
import { baseOf, type ObservedContainer, type ObservedDecky, type ObservedSockets } from "./observed.ts";
import { noSockets, observeSockets } from "./proc-sockets.ts";
import type { SocketCache } from "./socket-cache.ts";

type Lists = Pick<ContainerCalls, "listContainers">;

/** How old the sockets of a decky may be in a drift check, while the number of them stays. */
const socketsMs = 6_000;

export async function observeDecky(
  api: Lists,
  instance: string,
  decky: { readonly scope: Scope; readonly name: string },
): Promise<ObservedDecky> {
  const found = await api.listContainers(instance, deckyKey(decky));
  const containers = found.map((entry) => entry.container);
  return withSockets({ scope: decky.scope, name: decky.name, containers, sockets: noSockets }, observeSockets);
}

/** All deckies that have containers, and those that are asked for, with their keys. One list call, however many there are. */
export async function* observeDeckies(
  api: Lists,
  cache: SocketCache,
  instance: string,
  keys: readonly string[],
): AsyncGenerator<readonly [key: string, decky: ObservedDecky]> {
  const found = new Map<string, ObservedContainer[]>(keys.map((key) => [key, []]));
  for (const { decky, container } of await api.listContainers(instance)) {
    const containers = found.get(decky);
    if (containers === undefined) found.set(decky, [container]);
    else containers.push(container);
  }
  const pids = new Set<number>();
  const observe = (pid: number) => {
    pids.add(pid);
    return cache.observe(pid, socketsMs);
  };
  for (const [key, containers] of found) {
    const [scope = "", name = ""] = key.split("/");
    yield [key, await withSockets({ scope, name, containers, sockets: noSockets }, observe)];
  }
  cache.retain(pids);
}

async function withSockets(decky: ObservedDecky, observe: (pid: number) => Promise<ObservedSockets>): Promise<ObservedDecky> {
  const base = baseOf(decky);
  if (base === undefined || base.pid === 0) return decky;
  return { ...decky, sockets: await observe(base.pid), interfaces: observeInterfaces(base.pid) };
}
