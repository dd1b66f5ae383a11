import type { Client } from "@connectrpc/connect";
import { type Operation, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { TopologyService } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { drawSubnets } from "./own-subnets.ts";

type Topologies = Client<typeof TopologyService>;

/** Something that becomes of a whole topology, and what there is of it afterwards. */
export interface TopologyAct {
  readonly name: string;
  /** The same act with the same request id is done once. */
  readonly act: (
    topologies: Topologies,
    topology: string,
    requestId: string,
  ) => Promise<{ readonly operation?: Operation | undefined }>;
  /** The LANs that each decky is on. */
  readonly there: Readonly<Record<string, readonly string[]>>;
}

const subnetOf = drawSubnets();
const accepted = (requestId: string) => ({ wait: Wait.ACCEPTED, requestId });
const services = [{ slug: "redis" }];

/** Two LANs, a gateway that publishes its port, and a decky behind it. */
export async function designTopology(topologies: Topologies, name: string, place: { host: string; publishOn: string }) {
  const { topology } = await topologies.createTopology({ name, ...place });
  await topologies.addLan({ topology: name, name: "dmz", isDmz: true, subnet: subnetOf(0) });
  await topologies.addLan({ topology: name, name: "core", subnet: subnetOf(1) });
  const attachments = [{ lan: "dmz" }, { lan: "core" }];
  await topologies.addDecky({ topology: name, name: "gateway", services, attachments, forwards: true });
  await topologies.addDecky({ topology: name, name: "inner", services, attachments: [{ lan: "core" }] });
  return topology?.id ?? "";
}

const apart = { gateway: ["core", "dmz"], inner: ["core"] };
const joined = { gateway: ["core", "dmz"], inner: ["core", "dmz"] };

/** Acts that follow each other; so do the short ones among them. */
const acts: readonly (TopologyAct & { readonly isShort?: true })[] = [
  {
    name: "its deploy",
    act: (to, topology, requestId) => to.deployTopology({ topology, options: accepted(requestId) }),
    there: apart,
    isShort: true,
  },
  {
    name: "a decky attached to another LAN",
    act: (to, topology, requestId) =>
      to.attachDecky({ topology, name: "inner", attachment: { lan: "dmz" }, options: accepted(requestId) }),
    there: joined,
    isShort: true,
  },
  {
    name: "a decky added",
    act: (to, topology, requestId) =>
      to.addDecky({ topology, name: "db", services, attachments: [{ lan: "core" }], options: accepted(requestId) }),
    there: { ...joined, db: ["core"] },
  },
  {
    name: "a LAN added",
    act: (to, topology, requestId) => to.addLan({ topology, name: "far", subnet: subnetOf(2), options: accepted(requestId) }),
    there: { ...joined, db: ["core"] },
  },
  {
    name: "a decky attached to a LAN that nobody was on",
    act: (to, topology, requestId) =>
      to.attachDecky({ topology, name: "db", attachment: { lan: "far" }, options: accepted(requestId) }),
    there: { ...joined, db: ["core", "far"] },
  },
  {
    name: "a decky that forwards from now on",
    act: (to, topology, requestId) => to.updateDecky({ topology, name: "db", forwards: true, options: accepted(requestId) }),
    there: { ...joined, db: ["core", "far"] },
  },
  {
    name: "a decky that forwards no longer",
    act: (to, topology, requestId) => to.updateDecky({ topology, name: "db", forwards: false, options: accepted(requestId) }),
    there: { ...joined, db: ["core", "far"] },
  },
  {
    name: "a decky detached again",
    act: (to, topology, requestId) => to.detachDecky({ topology, name: "db", lan: "far", options: accepted(requestId) }),
    there: { ...joined, db: ["core"] },
  },
  {
    name: "a LAN removed",
    act: (to, topology, requestId) => to.removeLan({ topology, name: "far", options: accepted(requestId) }),
    there: { ...joined, db: ["core"] },
  },
  {
    name: "a decky removed",
    act: (to, topology, requestId) => to.removeDecky({ topology, name: "db", options: accepted(requestId) }),
    there: joined,
  },
  {
    name: "its teardown",
    act: (to, topology, requestId) => to.teardownTopology({ topology, options: accepted(requestId) }),
    there: {},
    isShort: true,
  },
];

/**
 * A daemon is killed before each act's first step, and then again after so many more: all acts when that is one, as in
 * `npm run kills:topologies`.
 */
export function actsKilledAfter(steps: number): readonly TopologyAct[] {
  return steps === 1 ? acts : acts.filter(({ isShort }) => isShort);
}
/** However few steps a life has: no act has more. */
export const mostLives = 40;

/** Names of the containers that are there then. */
export function containersThen({ there }: TopologyAct, id: string): string[] {
  return Object.keys(there)
    .flatMap((decky) => [`${id}-${decky}`, `${id}-${decky}-redis`])
    .sort();
}

/** Names of the networks that are there then. */
export function networksThen({ there }: TopologyAct, id: string): string[] {
  return [...new Set(Object.values(there).flat())].map((lan) => `decnet-${id}-${lan}`).sort();
}
