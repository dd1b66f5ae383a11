import { describe, expect, it } from "vitest";
import type { LanSpec } from "../spec.ts";
import { parseLinks } from "./host-access.ts";
import { type EngineNetwork, judgeLan, type LanSurroundings } from "./lan.ts";

const lan: LanSpec = { name: "decoys", driver: "bridge", subnet: "10.1.0.0/24", gateway: "10.1.0.1", parent: undefined };
const macvlan: LanSpec = { ...lan, driver: "macvlan", parent: "eth0" };

const network = (name: string, subnet: string, more: Partial<EngineNetwork> = {}): EngineNetwork => ({
  id: "N",
  subnet,
  ...{
    name,
    driver: "bridge",
    subnets: [subnet],
    kept: [],
    mtu: undefined,
    owner: "me",
    isInternal: false,
    bridge: "",
    parent: "",
  },
  ...more,
});
const link = (ifname: string, cidr: string, more: object = {}) => {
  const [local, prefixlen] = cidr.split("/");
  return { ifname, mtu: 1_500, flags: ["UP"], addr_info: [{ family: "inet", local, prefixlen: Number(prefixlen) }], ...more };
};
const host = (links: object[], routes: object[] = []) => parseLinks(JSON.stringify(links), JSON.stringify(routes));
const lo = link("lo", "127.0.0.1/8", { flags: ["LOOPBACK", "UP"], mtu: 65_536 });
const eth0 = link("eth0", "10.1.0.9/24");
const elsewhere = host([lo, link("eth0", "192.0.2.2/24")], [{ dst: "default", gateway: "192.0.2.1", dev: "eth0" }]);

const rights = { instance: "me", adopted: new Set(["theirs"]) };
const judge = (of: LanSpec, more: Partial<LanSurroundings>) =>
  judgeLan(of, {
    ...rights,
    networks: [network("bridge", "172.17.0.0/16", { mtu: 1_500 })],
    residents: [],
    links: elsewhere,
    ...more,
  });

describe("a host can have a LAN", () => {
  it.each<[string, LanSpec, Partial<LanSurroundings>]>([
    ["that nothing of it overlaps", lan, {}],
    [
      "whose network was adopted",
      { ...lan, name: "theirs" },
      { networks: [network("theirs", lan.subnet, { owner: "" })], links: undefined },
    ],
    ["whose network is there", lan, { networks: [network("decoys", lan.subnet)], links: undefined }],
    [
      "of its parent interface, which is its own subnet",
      macvlan,
      { links: host([lo, eth0], [{ dst: "10.1.0.0/24", dev: "eth0" }]) },
    ],
    [
      "of its parent interface, with another child of it that routes there",
      macvlan,
      { links: host([eth0, link("shim", "10.1.0.9/32", { link: "eth0" })], [{ dst: "10.1.0.64/26", dev: "shim" }]) },
    ],
    [
      "that only helpers of ours are on",
      macvlan,
      {
        links: host(
          [eth0, link("decnet_macvlan0", "10.1.0.9/32", { link: "eth0", ifalias: "decnet me decoys" })],
          [{ dst: "10.1.0.20", dev: "decnet_macvlan0" }],
        ),
      },
    ],
    [
      "whose network is just being made",
      lan,
      { links: host([lo, link("br-0123456789ab", "10.1.0.1/24")], [{ dst: "10.1.0.0/24", dev: "br-0123456789ab" }]) },
    ],
    ["with the MTU of its parent", { ...macvlan, mtu: 1_500 }, { links: host([eth0]) }],
  ])("%s", (_, of, more) => {
    expect(judge(of, more).trouble).toBe("");
  });
});

describe("a host cannot have a LAN, which names what is in the way", () => {
  const is = "the Docker network decoys is there already, with";
  const cure = "; docker network rm decoys, or choose another name";
  it.each<[string, LanSpec, Partial<LanSurroundings>, string]>([
    [
      "another network of the engine",
      lan,
      { networks: [network("theirs", "10.1.0.128/25")] },
      "10.1.0.0/24 overlaps 10.1.0.128/25 of the Docker network theirs",
    ],
    [
      "the id of another network for its name",
      { ...lan, name: "0123456789ab" },
      { networks: [network("theirs", "10.9.0.0/24", { id: "0123456789abcdef" })] },
      "0123456789ab is the id of the Docker network theirs; choose another name for the LAN",
    ],
    [
      "the engine's own bridge",
      { ...lan, subnet: "172.17.4.0/24" },
      {},
      "172.17.4.0/24 overlaps 172.17.0.0/16 of the Docker network bridge",
    ],
    ["the host's own subnet", lan, { links: host([eth0]) }, "10.1.0.0/24 overlaps 10.1.0.9/24, which this host has on eth0"],
    [
      "a route",
      lan,
      { links: host([link("eth0", "192.0.2.2/24")], [{ dst: "10.0.0.0/8", gateway: "192.0.2.1", dev: "eth0" }]) },
      "10.1.0.0/24 overlaps 10.0.0.0/8, which this host has a route to through eth0",
    ],
    [
      "an interface that is not its parent",
      { ...macvlan, parent: "eth1" },
      { links: host([eth0, link("eth1", "192.0.2.9/24")]) },
      "10.1.0.0/24 overlaps 10.1.0.9/24, which this host has on eth0",
    ],
    [
      "a network of its name with another subnet",
      lan,
      { networks: [network("decoys", "10.9.0.0/24")] },
      `${is} 10.9.0.0/24 in place of 10.1.0.0/24${cure}`,
    ],
    [
      "a network of its name of another kind",
      macvlan,
      { networks: [network("decoys", lan.subnet)] },
      `${is} the driver bridge in place of macvlan${cure}`,
    ],
    [
      "a network of its name with another MTU",
      { ...lan, mtu: 9_000 },
      { networks: [network("decoys", lan.subnet, { mtu: 1_500 })] },
      `${is} an MTU of 1500 in place of 9000${cure}`,
    ],
    [
      "a network of its name that somebody else made",
      lan,
      { networks: [network("decoys", lan.subnet, { owner: "" })] },
      "the Docker network decoys was made by somebody else; choose another name for the LAN, or docker network rm decoys, or " +
        "adopt it: name it in DECNET_ADOPTED_NETWORKS on this host and start the daemon again",
    ],
    [
      "a network of its name of another installation",
      lan,
      { networks: [network("decoys", lan.subnet, { owner: "you" })] },
      "the Docker network decoys belongs to another installation (you); choose another name for the LAN, or docker network rm " +
        "decoys, or adopt it: name it in DECNET_ADOPTED_NETWORKS on this host and start the daemon again",
    ],
    [
      "an internal network of its name, adopted or not",
      { ...lan, name: "theirs" },
      { networks: [network("theirs", lan.subnet, { owner: "", isInternal: true })] },
      "the Docker network theirs is internal: nobody outside of it would reach its deckies; choose another name for the LAN",
    ],
    [
      "the id of another network for its name",
      { ...lan, name: "0123456789ab" },
      { networks: [network("theirs", "10.9.0.0/24", { id: "0123456789abcdef" })] },
      "0123456789ab is the id of the Docker network theirs; choose another name for the LAN",
    ],
    [
      "the engine's own bridge",
      { ...lan, name: "bridge" },
      {},
      "the Docker network bridge is the engine's own, which no decky can be on; choose another name for the LAN",
    ],
    [
      "a network of its name on another parent",
      macvlan,
      { networks: [network("decoys", lan.subnet, { driver: "macvlan", parent: "eth7" })], links: host([lo, eth0]) },
      `${is} the parent interface eth7 in place of eth0${cure}`,
    ],
    [
      "no parent",
      { ...macvlan, parent: "eth9" },
      { links: host([lo, eth0]) },
      "this host has no interface eth9 for macvlan; there are lo, eth0",
    ],
    [
      "a parent with a smaller MTU",
      { ...macvlan, mtu: 9_000 },
      { links: host([eth0]) },
      "an MTU of 9000 is more than eth0 has, which is 1500",
    ],
  ])("%s", (_, of, more, trouble) => {
    expect(judge(of, more).trouble).toBe(trouble);
  });
});

it("addresses that others have on a LAN are told with who has them, and its gateway is nobody's", () => {
  const resident = (address: string, more: object) => ({
    address,
    holder: `the container at ${address}`,
    isOurs: false,
    isUp: true,
    ...more,
  });
  const { taken } = judge(macvlan, {
    networks: [
      network("decoys", lan.subnet, {
        driver: "macvlan",
        kept: [
          { address: "10.1.0.1", holder: "the network's gateway" },
          { address: "10.1.0.3", holder: "the network itself, for printer" },
        ],
      }),
    ],
    residents: [resident("10.1.0.5", {}), resident("10.1.0.6", { isUp: false }), resident("10.1.0.7", { isOurs: true })],
    links: host([lo, eth0, link("eth1", "192.0.2.2/24")]),
  });
  expect(taken).toEqual([
    { address: "10.1.0.5", holder: "the container at 10.1.0.5", isUp: true },
    { address: "10.1.0.6", holder: "the container at 10.1.0.6", isUp: false },
    { address: "10.1.0.3", holder: "the network itself, for printer", isUp: true },
    { address: "10.1.0.9", holder: "this host, on eth0", isUp: true },
  ]);
});

it.each<[string, LanSpec, number | undefined]>([
  ["as it was asked for", { ...lan, mtu: 1_280 }, 1_280],
  ["as the engine's own bridge has it", lan, 1_450],
  ["as its parent has it", { ...macvlan, parent: "eth0" }, 9_000],
  ["as the interface has it that its parent will be made on", { ...macvlan, parent: "eth0.7" }, 9_000],
  ["left to the engine where none is known", { ...macvlan, parent: "eth9" }, undefined],
])("the MTU of a LAN is %s", (_, of, mtu) => {
  const links = host([link("eth0", "192.0.2.2/24", { mtu: 9_000 })]);
  expect(judge(of, { networks: [network("bridge", "172.17.0.0/16", { mtu: 1_450 })], links }).mtu?.value).toBe(mtu);
});
