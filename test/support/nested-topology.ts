import type { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { expect } from "vitest";
import { eventually, type TestMaster } from "./use-master.ts";

/** Two LANs, a gateway between them, and a decky behind it. Without networks of the test's own the master chooses them. */
export async function designNested(
  master: TestMaster,
  topology: string,
  host: string,
  innerService = "redis",
  subnets: { readonly dmz?: string; readonly core?: string } = {},
): Promise<string> {
  const { topologies } = master;
  const made = await topologies.createTopology({ name: topology, host });
  await topologies.addLan({ topology, name: "dmz", isDmz: true, subnet: subnets.dmz ?? "" });
  await topologies.addLan({ topology, name: "core", subnet: subnets.core ?? "" });
  const services = [{ slug: "redis" }];
  await topologies.addDecky({
    topology,
    name: "gateway",
    services,
    attachments: [{ lan: "dmz" }, { lan: "core" }],
    forwards: true,
  });
  await topologies.addDecky({ topology, name: "inner", services: [{ slug: innerService }], attachments: [{ lan: "core" }] });
  return made.topology?.id ?? expect.fail("no topology");
}

export const readTopology = async (master: TestMaster, topology: string) =>
  (await master.topologies.getTopology({ topology })).topology;
export const becomes = (master: TestMaster, topology: string, state: TopologyState) =>
  eventually(async () => {
    const found = await readTopology(master, topology);
    return found?.state === state ? found : undefined;
  }, 30_000);
