/** A range of IPv4 addresses, both ends included. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

/** Reads an address or a CIDR, whose host bits may be anything; undefined for anything else. */
export function parseRange(text: string): AddressRange | undefined {
  const [address = "", bits = "32", ...more] = text.split("/");
  const parts = address.split(".");
  if (more.length > 0 || parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255))
    return undefined;
  if (!/^\d{1,2}$/.test(bits) || Number(bits) > 32) return undefined;
  const size = 2 ** (32 - Number(bits));
  const value = parts.reduce((sum, part) => sum * 256 + Number(part), 0);
  const first = value - (value % size);
  return { first, last: first + size - 1 };
}

/** False when one of them is no range. */
export function overlap(left: string, right: string): boolean {
  const [one, other] = [parseRange(left), parseRange(right)];
  return one !== undefined && other !== undefined && one.first <= other.last && other.first <= one.last;
}

const reserved: readonly (readonly [range: string, use: string])[] = [
  ["0.0.0.0/8", "means this machine itself"],
  ["127.0.0.0/8", "is every machine's loopback"],
  ["169.254.0.0/16", "is for link-local addresses"],
  ["224.0.0.0/4", "is for multicast"],
  ["240.0.0.0/4", "is reserved"],
];

/** Why no LAN can have this subnet, whatever host it is on. */
export function reservedUse(subnet: string): string | undefined {
  const found = reserved.find(([range]) => overlap(subnet, range));
  return found === undefined ? undefined : `overlaps ${found[0]}, which ${found[1]}`;
}

/** IPv4 asks hosts for the smaller one; the greater one is loopback's. */
export const mtuRange = { least: 576, most: 65_535 } as const;

/** Undefined is none of its own. */
export function isMtu(mtu: number | undefined): boolean {
  return mtu === undefined || (mtu >= mtuRange.least && mtu <= mtuRange.most);
}
