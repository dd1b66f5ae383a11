import { join } from "node:path";

/** Everything that names or locates one host of a lab. */
export interface HostPlan {
  /** Network namespace, host name, and the host's port on the lab's switch. */
  readonly name: string;
  readonly address: string;
  readonly mac: string;
  readonly folder: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly dataRoot: string;
  /** Short: the engine puts sockets under it, whose paths end at 107 bytes. */
  readonly execRoot: string;
  readonly pidFile: string;
}

/**
 * All of a lab follows from its name, its number and its size, so what is left of one can be removed by anybody who knows these.
 */
export interface LabPlan {
  readonly name: string;
  readonly number: number;
  readonly folder: string;
  readonly subnet: string;
  readonly masterAddress: string;
  readonly masterMac: string;
  /** The end of the cable to the switch that is in the root namespace. */
  readonly link: string;
  /** The network namespace with the bridge. Nothing runs in it. */
  readonly switchName: string;
  readonly hosts: readonly HostPlan[];
}

/** Labs lie side by side in 10.79.0.0/16, one /24 each. */
export const labNumbers = 256;
const firstHostAddress = 11;
const longestName = 10;
const mostHosts = 99;

/** On a disk: the engines' images are there. */
export const labFolders = "/var/tmp";

export function subnetOf(number: number): string {
  return `10.79.${number}.0/24`;
}

export function folderOf(number: number): string {
  return join(labFolders, `decnet-lab-${number}`);
}

export function planLab(name: string, number: number, hosts: number): LabPlan {
  if (!/^[a-z][a-z0-9]*$/.test(name) || name.length > longestName) throw new Error(`"${name}" cannot name a lab`);
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > mostHosts) throw new Error(`a lab has 1 to ${mostHosts} hosts`);
  const folder = folderOf(number);
  const macOf = (last: number) => `02:4c:ab:00:${hexByte(number)}:${hexByte(last)}`;
  return {
    name,
    number,
    folder,
    subnet: subnetOf(number),
    masterAddress: `10.79.${number}.1`,
    masterMac: macOf(1),
    link: name,
    switchName: `${name}sw`,
    hosts: Array.from({ length: hosts }, (_, index): HostPlan => {
      const host = `h${index + 1}`;
      const own = join(folder, host);
      return {
        name: `${name}${host}`,
        address: `10.79.${number}.${firstHostAddress + index}`,
        mac: macOf(firstHostAddress + index),
        folder: own,
        stateDir: join(own, "state"),
        socket: join(own, "docker.sock"),
        dataRoot: join(own, "data"),
        execRoot: join(own, "exec"),
        pidFile: join(own, "docker.pid"),
      };
    }),
  };
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
