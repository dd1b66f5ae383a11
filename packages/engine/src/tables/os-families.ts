const keys = [
  "ip_default_ttl",
  "tcp_syn_retries",
  "tcp_timestamps",
  "tcp_window_scaling",
  "tcp_sack",
  "tcp_ecn",
  "ip_no_pmtu_disc",
  "tcp_fin_timeout",
  "icmp_ratelimit",
  "icmp_ratemask",
] as const;

/** How the network stack of each family behaves; one value per key above. */
const families: Readonly<Record<string, readonly number[]>> = {
  linux: [64, 6, 1, 1, 1, 2, 0, 60, 1000, 6168],
  windows: [128, 2, 1, 1, 1, 0, 0, 30, 0, 0],
  windows_server: [128, 2, 1, 1, 1, 1, 0, 30, 0, 0],
  bsd: [64, 6, 1, 1, 1, 0, 0, 60, 250, 6168],
  embedded: [255, 3, 0, 0, 0, 0, 1, 15, 0, 0],
  cisco: [255, 2, 0, 0, 0, 0, 1, 15, 0, 0],
};

export const osFamilyNames = Object.keys(families);

/** Sysctls of the base container, as text. An unknown family behaves like linux. */
export function osFamilySysctls(family: string): Record<string, string> {
  const values = families[family] ?? families["linux"] ?? [];
  const own = Object.fromEntries(keys.map((key, index) => [`net.ipv4.${key}`, String(values[index])]));
  return { ...own, "net.ipv4.ip_unprivileged_port_start": "0" };
}
