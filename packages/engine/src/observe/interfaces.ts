import { absentCodes, notObserved } from "./not-observed.ts";
import type { ObservedInterfaces } from "./observed.ts";
import { listProcFolder, readProcFile } from "./proc-file.ts";

/** What the kernel says of an interface that is on its way out. */
const leavingCodes: ReadonlySet<string> = new Set([...absentCodes, "EINVAL", "ENODEV"]);

/**
 * Reads the network namespace of a base: its own /sys shows its own interfaces. Undefined when there is none, as of a process
 * that just ended. Throws NOT_OBSERVED.
 */
export function observeInterfaces(pid: number): ObservedInterfaces | undefined {
  const folder = `/proc/${pid}/root/sys/class/net`;
  const trie = readProcFile(`/proc/${pid}/net/fib_trie`);
  const names = listProcFolder(folder)?.filter((name) => name !== "lo");
  if (trie === undefined || names === undefined) return undefined;
  const interfaces = names.map((name) => {
    const mac = readProcFile(`${folder}/${name}/address`, leavingCodes);
    const flags = readProcFile(`${folder}/${name}/flags`, leavingCodes);
    return mac === undefined || flags === undefined ? undefined : { name, mac: mac.trim(), isUp: (Number(flags) & 1) === 1 };
  });
  const seen = interfaces.filter((each) => each !== undefined);
  return seen.length === names.length ? { interfaces: seen, addresses: parseLocalAddresses(trie) } : undefined;
}

/** Every address of the host, or of the network namespace that this program is in. Throws NOT_OBSERVED. */
export function observeOwnAddresses(): ReadonlySet<string> {
  const trie = readProcFile("/proc/self/net/fib_trie");
  if (trie === undefined) throw notObserved("the table of the host's addresses is not there");
  return parseLocalAddresses(trie, true);
}

/**
 * An address stands on a line of its own, `|-- 10.0.0.7`, and what is known of it below: `/32 host LOCAL`. Throws NOT_OBSERVED
 * for a table that was cut off: what it lacks may be there.
 */
export function parseLocalAddresses(trie: string, withLoopback = false): Set<string> {
  if (trie !== "" && !trie.endsWith("\n")) throw notObserved("the table of addresses is cut off");
  const found = new Set<string>();
  let last = "";
  for (const line of trie.split("\n")) {
    const address = /\|-- (\d+\.\d+\.\d+\.\d+)$/.exec(line)?.[1];
    if (address !== undefined) last = address;
    else if (line.trim() === "/32 host LOCAL" && (withLoopback || !last.startsWith("127."))) found.add(last);
  }
  return found;
}
