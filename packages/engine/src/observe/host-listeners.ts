import type { HostListener } from "../policy/publication.ts";
import { createHolderSearch } from "./port-holders.ts";
import { readSocketTables } from "./proc-sockets.ts";

/** Who listens on these ports in the network namespace that this program is in. Throws NOT_OBSERVED. */
export async function observeHostListeners(ports: ReadonlySet<string>): Promise<HostListener[]> {
  const tables = await readSocketTables(process.pid);
  const listeners = (tables?.listeners ?? []).filter(({ port, isLocal }) => ports.has(port) && !isLocal);
  if (listeners.length === 0) return [];
  const holders = await createHolderSearch().find(new Set(listeners.map(({ inode }) => inode)), []);
  return listeners.map(({ port, address, inode }) => {
    const holder = holders.get(inode);
    return { port, address, holder: holder === undefined ? "a program" : `${holder.command} (process ${holder.pid})` };
  });
}
