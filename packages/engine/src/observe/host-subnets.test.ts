import { describe, expect, it } from "vitest";
import { parseLinks } from "./host-access.ts";
import { listHostSubnets } from "./host-subnets.ts";
import type { EngineNetwork } from "./lan.ts";

const network = (name: string, subnets: readonly string[], more: Partial<EngineNetwork> = {}): EngineNetwork => ({
  ...{ id: "N", subnet: subnets[0] ?? "", name, driver: "bridge", subnets, kept: [], mtu: undefined, owner: "" },
  ...{ isInternal: false, bridge: "", parent: "" },
  ...more,
});
const link = (ifname: string, cidr: string, more: object = {}) => {
  const [local, prefixlen] = cidr.split("/");
  return { ifname, flags: ["UP"], addr_info: [{ family: "inet", local, prefixlen: Number(prefixlen) }], ...more };
};
const list = (networks: readonly EngineNetwork[], links: object[], routes: object[] = []) =>
  listHostSubnets(networks, parseLinks(JSON.stringify(links), JSON.stringify(routes)), "me").map(
    ({ subnet, holder, network: name }) => [subnet, holder, name],
  );

describe("a host says of its networks", () => {
  it.each([
    ["nothing, when there are none", [], [], [], []],
    [
      "those of the engine, by name",
      [network("web", ["10.1.0.0/24", "fd00::/64"])],
      [],
      [],
      [["10.1.0.0/24", "the Docker network web", "web"]],
    ],
    [
      "whose they are, when they are another installation's",
      [network("lan", ["10.1.0.0/24"], { owner: "them" }), network("own", ["10.2.0.0/24"], { owner: "me" })],
      [],
      [],
      [
        ["10.1.0.0/24", "the Docker network lan of another installation (them)", "lan"],
        ["10.2.0.0/24", "the Docker network own", "own"],
      ],
    ],
    [
      "those of its interfaces, but not of loopback",
      [],
      [link("lo", "127.0.0.1/8", { flags: ["LOOPBACK", "UP"] }), link("eth0", "10.1.0.9/24")],
      [],
      [["10.1.0.9/24", "this host, on eth0", ""]],
    ],
    [
      "those that it has routes to, but not the way to everything else",
      [],
      [],
      [
        { dst: "default", dev: "eth0" },
        { dst: "10.9.0.0/16", dev: "tun0" },
      ],
      [["10.9.0.0/16", "this host, which has a route to it through tun0", ""]],
    ],
    [
      "nothing twice: a bridge of the engine is its network",
      [network("web", ["10.1.0.0/24"], { bridge: "br-0123456789ab" })],
      [link("br-0123456789ab", "10.1.0.1/24")],
      [{ dst: "10.1.0.0/24", dev: "br-0123456789ab" }],
      [["10.1.0.0/24", "the Docker network web", "web"]],
    ],
    ["nothing of a bridge that the engine is just making", [], [link("br-0123456789ab", "10.1.0.1/24")], [], []],
  ] as const)("%s", (_, networks, links, routes, expected) => {
    expect(list([...networks], [...links], [...routes])).toEqual(expected);
  });
});
