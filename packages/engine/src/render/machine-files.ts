import type { DeckySpec } from "../spec.ts";

/** A file of a machine that the engine would otherwise write, in words of its own and with the host's name servers. */
export interface MachineFile {
  /** In the project folder. */
  readonly path: string;
  readonly target: string;
  readonly content: string;
}

/** As an installer leaves them on a machine of this LAN. The engine's own would be writable, and on the host's disk. */
export function machineFiles({
  hostname,
  attachments: [{ lan }],
}: Pick<DeckySpec, "hostname" | "attachments">): readonly MachineFile[] {
  const names = hostname.includes(".") ? `${hostname} ${hostname.split(".")[0]}` : hostname;
  const hosts = [
    "127.0.0.1\tlocalhost",
    `127.0.1.1\t${names}`,
    "",
    "# The following lines are desirable for IPv6 capable hosts",
    "::1     localhost ip6-localhost ip6-loopback",
    "ff02::1 ip6-allnodes",
    "ff02::2 ip6-allrouters",
  ];
  return [
    { path: "machine/resolv.conf", target: "/etc/resolv.conf", content: `nameserver ${lan.gateway}\n` },
    { path: "machine/hostname", target: "/etc/hostname", content: `${hostname}\n` },
    { path: "machine/hosts", target: "/etc/hosts", content: `${hosts.join("\n")}\n` },
  ];
}
