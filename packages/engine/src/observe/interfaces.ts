import { readdirSync } from "node:fs";
import type { ObservedInterfaces } from "./observed.ts";
import { readProcFile } from "./proc-file.ts";

/**
 * Reads the network namespace of a base: its own /sys shows its own interfaces. Undefined when that cannot be seen, such as of
 * a process that just ended.
 */
export function observeInterfaces(pid: number): ObservedInterfaces | undefined {
  const folder = `/proc/${pid}/root/sys/class/net`;
  const trie = readProcFile(`/proc/${pid}/net/fib_trie`);
  if (trie === undefined) return undefined;
  try {
    const names = readdirSync(folder).filter((name) => name !== "lo");
    const interfaces = names.map((name) => {
      const [mac, flags] = [readProcFile(`${folder}/${name}/address`), readProcFile(`${folder}/${name}/flags`)];
      return mac === undefined || flags === undefined ? undefined : { name, mac: mac.trim(), isUp: (Number(flags) & 1) === 1 };
    });
    const seen = interfaces.filter((each) => each !== undefined);
    return seen.length === names.length ? { interfaces: seen, addresses: parseLocalAddresses(trie) } : undefined;
  } catch {
    return undefined;
  }
}

/** An address stands on a line of its own, `|-- 10.0.0.7`, and what is known of it below: `/32 host LOCAL`. */
export function parseLocalAddresses(trie: string): Set<string> {
  const found = new Set<string>();
  let last = "";
  for (const line of trie.split("\n")) {
    const address = /\|-- (\d+\.\d+\.\d+\.\d+)$/.exec(line)?.[1];
    if (address !== undefined) last = address;
    else if (line.trim() === "/32 host LOCAL" && !last.startsWith("127.")) found.add(last);
  }
  return found;
}
