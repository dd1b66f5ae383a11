import net from "node:net";

/** `10.0.0.0/8` */
type Range = readonly [address: string, prefix: number];

/** Of the registries of special-purpose addresses (RFC 6890 and its updates): none of them is a stranger on the internet. */
const special4: readonly Range[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];
/** Of IPv6 only what is assigned for the internet counts; within that, these do not: some hold an IPv4 address. */
const global6: Range = ["2000::", 3];
const special6: readonly Range[] = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["2620:4f:8000::", 48],
  ["3fff::", 20],
];

function blockList(ranges: readonly Range[], family: "ipv4" | "ipv6"): net.BlockList {
  const list = new net.BlockList();
  for (const [address, prefix] of ranges) list.addSubnet(address, prefix, family);
  return list;
}

const lists = {
  special4: blockList(special4, "ipv4"),
  global6: blockList([global6], "ipv6"),
  special6: blockList(special6, "ipv6"),
};

/** Whether an address is anything else than that of some machine on the internet. What is no address is special, too. */
export function isSpecialAddress(address: string): boolean {
  const [plain = ""] = address.split("%");
  if (net.isIPv4(plain)) return lists.special4.check(plain, "ipv4");
  if (!net.isIPv6(plain)) return true;
  return !lists.global6.check(plain, "ipv6") || lists.special6.check(plain, "ipv6");
}
