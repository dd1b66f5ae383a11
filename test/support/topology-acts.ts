import type { Client } from "@connectrpc/connect";
import { type Operation, OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Topology, type TopologyService, TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { expect } from "vitest";
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
  /** Undefined: it succeeds. Otherwise it is taken back, because it fails, or because it is cancelled while it runs. */
  readonly takenBack?: "failed" | "cancelled";
}

const subnetOf = drawSubnets();
const accepted = (requestId: string) => ({ wait: Wait.ACCEPTED, requestId });
const services = [{ slug: "redis" }];
const quits = [{ slug: "quits" }];

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
    name: "the take-back of a decky that quits",
    act: (to, topology, requestId) =>
      to.addDecky({ topology, name: "ill", services: quits, attachments: [{ lan: "core" }], options: accepted(requestId) }),
    there: joined,
    takenBack: "failed",
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
    name: "the take-back of a decky that quits and would have led to that LAN",
    act: (to, topology, requestId) =>
      to.addDecky({
        ...{ topology, name: "ill", services: quits, attachments: [{ lan: "dmz" }, { lan: "far" }], forwards: true },
        options: accepted(requestId),
      }),
    there: { ...joined, db: ["core", "far"] },
    takenBack: "failed",
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
    name: "the take-back of a decky attached to another LAN, cancelled while it is",
    act: (to, topology, requestId) =>
      to.attachDecky({ topology, name: "db", attachment: { lan: "dmz" }, options: accepted(requestId) }),
    there: { ...joined, db: ["core"] },
    takenBack: "cancelled",
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

const ends = { failed: OperationState.FAILED, cancelled: OperationState.CANCELLED } as const;

/** How its operation has ended then. */
export function expectEnd({ takenBack }: TopologyAct, { state, error }: Operation): void {
  if (takenBack === undefined) expect([error?.message ?? "", ...(error?.outputTail ?? [])]).toEqual([""]);
  else expect(error).toMatchObject({ undone: true, message: expect.stringContaining("the design is as before the edit again") });
  expect(state).toBe(takenBack === undefined ? OperationState.SUCCEEDED : ends[takenBack]);
}

/** The topology is deployed as it is designed then, or torn down. */
export function expectDesign({ there }: TopologyAct, { state, deckies }: Topology): void {
  const isGone = Object.keys(there).length === 0;
  expect(state).toBe(isGone ? TopologyState.TORN_DOWN : TopologyState.ACTIVE);
  if (isGone) return;
  expect(Object.fromEntries(deckies.map(({ name, attachments }) => [name, attachments.map(({ lan }) => lan).sort()]))).toEqual(
    there,
  );
  for (const { decky } of deckies) expect(decky?.appliedRevision).toBe(decky?.desiredRevision);
}

/** Names of the containers that are there then. */
export function containersThen({ there }: TopologyAct, id: string): string[] {
  return Object.keys(there)
    .flatMap((decky) => [`${id}-${decky}`, `${id}-${decky}-redis`])
    .sort();
}

/** What the engine says of the networks that each base is on; `docker`: asks it. */
export async function placesOf(
  { there }: TopologyAct,
  id: string,
  docker: (...args: string[]) => Promise<string[]>,
): Promise<Record<string, string[]>> {
  const names = Object.keys(there);
  if (names.length === 0) return {};
  const format = "{{range $name, $place := .NetworkSettings.Networks}}{{$name}} {{end}}";
  const lines = await docker("inspect", "--format", format, ...names.map((name) => `${id}-${name}`));
  return Object.fromEntries(
    names.map((name, at) => [
      name,
      (lines[at] ?? "")
        .trim()
        .split(" ")
        .map((each) => each.replace(`decnet-${id}-`, ""))
        .sort(),
    ]),
  );
}

/** Names of the networks that are there then. */
export function networksThen({ there }: TopologyAct, id: string): string[] {
  return [...new Set(Object.values(there).flat())].map((lan) => `decnet-${id}-${lan}`).sort();
}

/** How often a daemon was killed in each act; told when all of them are over, if every boundary was one. */
export function tallyKills(where: string, killedAfter: number) {
  const kills = new Map<string, number>();
  return {
    count: (act: string) => void kills.set(act, (kills.get(act) ?? 0) + 1),
    tell() {
      const total = [...kills.values()].reduce((sum, each) => sum + each, 0);
      const each = [...kills].map(([act, count]) => `${count} in ${act}`).join(", ");
      if (killedAfter === 1) process.stdout.write(`killed (${where}): ${total}; ${each}\n`);
    },
  };
}
