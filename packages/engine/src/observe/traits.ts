import { createHash } from "node:crypto";

/** What a container is, in parts that people have words for: a hash of each. Equal hashes, equal containers. */
export type Traits = Readonly<Record<string, string>>;

/** What the containers of a decky were when this host made them, by container name. */
export type MadeContainers = Readonly<Record<string, Traits>>;

/** What an inspection tells, as far as it is read here. */
export interface Inspection {
  /** Its id. */
  readonly Image: string;
  readonly Config: object;
  readonly HostConfig: object;
  readonly Mounts: readonly object[];
}

type Settings = Readonly<Record<string, unknown>>;

/** Settings by the part that they belong to. Order means nothing in those that are sorted. */
const parts: Readonly<
  Record<string, { readonly own?: readonly string[]; readonly host?: readonly string[]; readonly sorted?: readonly string[] }>
> = {
  environment: { sorted: ["Env"] },
  command: { own: ["Entrypoint", "Cmd", "WorkingDir", "StopSignal", "StopTimeout", "Healthcheck"], host: ["Init"] },
  user: { own: ["User"], sorted: ["GroupAdd"] },
  mounts: { host: ["Tmpfs", "ReadonlyRootfs"], sorted: ["VolumesFrom"] },
  capabilities: { sorted: ["CapAdd", "CapDrop"] },
  privileges: {
    host: ["Privileged", "Devices", "DeviceRequests", "Runtime"],
    sorted: ["SecurityOpt", "DeviceCgroupRules", "MaskedPaths", "ReadonlyPaths"],
  },
  namespaces: { host: ["PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode", "Cgroup", "CgroupParent", "Sysctls"] },
  limits: {
    host: [
      ...["Memory", "MemorySwap", "MemoryReservation", "KernelMemory", "KernelMemoryTCP", "OomKillDisable", "OomScoreAdj"],
      ...["NanoCpus", "CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "CpuRealtimePeriod"],
      ...["CpuRealtimeRuntime", "PidsLimit", "BlkioWeight", "ShmSize", "StorageOpt"],
    ],
    sorted: ["Ulimits"],
  },
  "restart policy": { host: ["RestartPolicy", "AutoRemove"] },
  ports: { own: ["ExposedPorts"], host: ["PortBindings", "PublishAllPorts"] },
  names: { host: ["Dns", "DnsOptions", "DnsSearch"], sorted: ["ExtraHosts", "Links"] },
};

/** Compared elsewhere, or nothing that makes a difference to what the container is. */
const ignored = new Set([
  ...["Image", "Hostname", "Domainname", "Labels", "MacAddress", "OnBuild", "ArgsEscaped", "NetworkDisabled"],
  ...["AttachStdin", "AttachStdout", "AttachStderr", "Binds", "Mounts", "NetworkMode", "ContainerIDFile", "ConsoleSize"],
  ...["MemorySwappiness", "VolumeDriver", "Isolation"],
]);

const known = new Set(Object.values(parts).flatMap(({ own = [], host = [], sorted = [] }) => [...own, ...host, ...sorted]));

/** Pure. What joins another container has its host name from there. */
export function traitsOf(info: Inspection): Traits {
  const own: Settings = { ...info.Config };
  const host: Settings = { ...info.HostConfig };
  const all: Settings = { ...host, ...own };
  const mode = String(host["NetworkMode"] ?? "");
  const mounts = { mounts: sortedList(info.Mounts.map((mount) => mountOf({ ...mount }))) };
  const values: Record<string, Settings> = {
    image: { id: info.Image },
    hostname: mode.startsWith("container:") ? {} : pick(own, ["Hostname", "Domainname"]),
    labels: ownLabels(own["Labels"]),
    ...Object.fromEntries(
      Object.entries(parts).map(([part, { own: plain = [], host: more = [], sorted = [] }]) => [
        part,
        { ...pick(all, [...plain, ...more]), ...mapValues(pick(all, sorted), sortedList), ...(part === "mounts" ? mounts : {}) },
      ]),
    ),
    others: Object.fromEntries(Object.entries(all).filter(([key]) => !known.has(key) && !ignored.has(key))),
  };
  return mapValues(values, (settings) => hash(JSON.stringify(present(settings))));
}

/** Names of the parts in which two containers differ. */
export function differingTraits(made: Traits, seen: Traits): string[] {
  return [...new Set([...Object.keys(made), ...Object.keys(seen)])].filter((part) => made[part] !== seen[part]).sort();
}

function mountOf({ Type, Name, Source, Destination, RW, Propagation }: Settings): string {
  // A volume without a name of its own is another one each time.
  const source = Name === undefined || Name === "" ? Source : /^[0-9a-f]{64}$/.test(String(Name)) ? "" : Name;
  return JSON.stringify([Type, source, Destination, RW, Propagation]);
}

/** Compose's own labels say how it was called. */
function ownLabels(labels: unknown): Settings {
  return Object.fromEntries(Object.entries((labels ?? {}) as Settings).filter(([key]) => !key.startsWith("com.docker.")));
}

function pick(all: Settings, keys: readonly string[]): Settings {
  return Object.fromEntries(keys.map((key) => [key, all[key]]));
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function sortedList(value: unknown): unknown {
  return Array.isArray(value) ? value.map((each) => JSON.stringify(canonical(each))).sort() : value;
}

/** Settings that say something, in one order: what is nothing is left out by one engine and written by another. */
function present(settings: Settings): Settings {
  return Object.fromEntries(
    Object.entries(settings)
      .map(([key, value]) => [key, canonical(value)] as const)
      .filter(([, value]) => value !== null)
      .sort(([left], [right]) => (left < right ? -1 : 1)),
  );
}

/** Engines write nothing as null, zero, false, an empty text or an empty list. Inside a setting its place counts. */
function canonical(value: unknown): unknown {
  if (value === undefined || value === "" || value === 0 || value === false) return null;
  if (Array.isArray(value)) return value.length === 0 ? null : value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return entries.length === 0 ? null : Object.fromEntries(entries.map(([key, inner]) => [key, canonical(inner)]));
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
