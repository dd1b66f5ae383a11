import type { HardLimits } from "./hard-limits.ts";

/**
 * What an engine would otherwise fill in from its own configuration or from how it was started. A decoy is the same on every
 * host, and looks like an installed machine rather than like a container. The engine's mapping of users is its host's choice,
 * and cannot be said but for being switched off: files are made to fit it.
 */
const unlimited = { soft: -1, hard: -1 } as const;
const mebibyte = 1 << 20;

/** As Debian 12 has them after a login. No core is ever written: the host's handler would get it. */
const ulimits = {
  core: { soft: 0, hard: 0 },
  cpu: unlimited,
  data: unlimited,
  fsize: unlimited,
  locks: unlimited,
  memlock: { soft: 8 * mebibyte, hard: 8 * mebibyte },
  msgqueue: { soft: 819_200, hard: 819_200 },
  nice: { soft: 0, hard: 0 },
  nofile: { soft: 1_024, hard: 524_288 },
  // Counted for each user of the host and not for each container; `pids_limit` is what bounds a decoy.
  nproc: unlimited,
  rss: unlimited,
  rtprio: { soft: 0, hard: 0 },
  rttime: unlimited,
  sigpending: { soft: 31_535, hard: 31_535 },
  stack: { soft: 8 * mebibyte, hard: -1 },
} as const;

/** An engine that may not raise limits refuses to start a container that asks for more than it has itself. */
function withinReach(reach: HardLimits): Record<string, { soft: number; hard: number }> {
  const atMost = (value: number, bound: number | undefined) =>
    bound === undefined || (value !== -1 && value <= bound) ? value : bound;
  return Object.fromEntries(
    Object.entries(ulimits).map(([name, { soft, hard }]) => {
      const highest = atMost(hard, reach[name]);
      return [name, { soft: atMost(soft, highest === -1 ? undefined : highest), hard: highest }];
    }),
  );
}

/** Of every container. */
const alike = {
  init: true,
  // An engine that was killed holds what is to run `unless-stopped` for stopped by hand.
  restart: "always",
  cap_drop: ["ALL"],
  security_opt: ["no-new-privileges:true"],
  logging: { driver: "json-file", options: { "max-size": "10m", "max-file": "5" } },
  ipc: "private",
  cgroup: "private",
  shm_size: "64m",
} as const;

/** A folder in memory without a size could have half of the host's. */
export function sized(tmpfs: string): string {
  if (/[:,]size=/.test(tmpfs)) return tmpfs;
  return `${tmpfs}${tmpfs.includes(":") ? "," : ":"}size=32m`;
}

export function said(reach: HardLimits) {
  return { ...alike, ulimits: withinReach(reach) } as const;
}

/** Of a base alone, since its services share its network: whom the engine's own resolver asks, and it asks nobody else. */
export function saidOfNames(gateway: string) {
  return { dns: [gateway], dns_search: ["."], dns_opt: ["ndots:0"] } as const;
}
