import { readFile, writeFile } from "node:fs/promises";
import { execa } from "execa";

/*
 * The kernel has one table of TCP connections for all network namespaces, and its size follows the machine's memory. Whoever
 * lists the connections of one decky walks all of it, and so does the end of each namespace: that took a tenth of the processor
 * time of the tests. Since Linux 6.1 a namespace may have a small one of its own.
 */

const setting = "/proc/sys/net/ipv4/tcp_child_ehash_entries";
const entries = "256";

/** For namespaces that are made from now on; returns what restores it. Older kernels, and machines that forbid it, do without. */
export async function useOwnTables(): Promise<() => Promise<void>> {
  const before = await readFile(setting, "utf8").catch(() => undefined);
  if (before === undefined || !(await isSet(entries))) return async () => undefined;
  return async () => void (await isSet(before.trim()));
}

/** The same for what is made in another namespace: it is not inherited. */
export async function useOwnTablesIn(netns: string): Promise<void> {
  await execa("nsenter", [`--net=/run/netns/${netns}`, "sh", "-c", `echo ${entries} > ${setting}`], { reject: false });
}

function isSet(value: string): Promise<boolean> {
  return writeFile(setting, value).then(
    () => true,
    () => false,
  );
}
