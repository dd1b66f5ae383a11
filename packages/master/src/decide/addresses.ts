/** An IPv4 network. */
export interface Subnet {
  readonly firstHost: string;
  hasHost(address: string): boolean;
  /** Hosts in ascending order, from `start` on. */
  hosts(start: string | undefined): Generator<string>;
}

/** Reads a CIDR of /16 to /29 whose host bits are zero; undefined for anything else. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = "", prefix = ""] = text.split("/");
  const network = parseIpv4(address);
  const bits = /^\d{1,2}$/.test(prefix) ? Number(prefix) : 0;
  if (network === undefined || bits < 16 || bits > 29) return undefined;
  const size = 2 ** (32 - bits);
  if (network % size !== 0) return undefined;
  const last = network + size - 2;
  return {
    firstHost: formatIpv4(network + 1),
    hasHost(candidate) {
      const value = parseIpv4(candidate);
      return value !== undefined && value > network && value <= last;
    },
    *hosts(start) {
      for (let value = parseIpv4(start ?? "") ?? network + 1; value <= last; value += 1) yield formatIpv4(value);
    },
  };
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return undefined;
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/**
 * A MAC address from the range that hypervisors give out by hand, so that it does not say "container". `random` gives 24 bits.
 */
export function makeMac(random: number): string {
  const bytes = [0x00, 0x50, 0x56, Math.floor(random / 65_536) % 0x40, Math.floor(random / 256) % 256, random % 256];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** A MAC address that none of `used` is; the result is added to them. `random` gives 24 bits at each call. */
export function makeFreeMac(used: Set<string>, random: () => number): string {
  for (;;) {
    const mac = makeMac(random());
    if (used.has(mac)) continue;
    used.add(mac);
    return mac;
  }
}
