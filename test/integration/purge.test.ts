import { join } from "node:path";
import { Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createHold } from "../support/hold-steps.ts";
import { becomes, designNested, readTopology } from "../support/nested-topology.ts";
import { drawSubnets } from "../support/own-subnets.ts";
import { containersOf, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const script = join(import.meta.dirname, "../../scripts/teardown-topologies.sh");
const hold = createHold();
let master: TestMaster;
const ids: string[] = [];
const subnetOf = drawSubnets();

const tearDown = () =>
  execa(script, { reject: false, env: { DECNET_DATA_DIR: master.config.dataDir, DECNET_PORT: String(master.port) } });
const make = async (name: string, at: 0 | 2) => {
  const id = await designNested(master, name, "local", "redis", { dmz: subnetOf(at), core: subnetOf(at === 0 ? 1 : 3) });
  ids.push(id);
  return id;
};

beforeAll(async () => {
  master = await useMaster({ boundary: hold.boundary });
});
afterAll(async () => {
  hold.letGo();
  for (const topology of ids) await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
  await master?.dispose();
});

it("a purge tears down what was ever deployed, what failed as well, and names what it could not", async () => {
  await make("stands", 0);
  await master.topologies.deployTopology({ topology: "stands" });
  const failed = await make("failed", 2);
  const begun = await master.topologies.deployTopology({ topology: "failed", options: { wait: Wait.ACCEPTED } });
  await master.operations.cancelOperation({ id: begun.operation?.id ?? "" });
  await becomes(master, "failed", TopologyState.FAILED);
  await designNested(master, "designed", "local");

  const reached = hold.at("-inner", "remove");
  const first = tearDown();
  await reached;
  const { operations } = await master.operations.listOperations({ filter: "kind=teardown_topology,topology=stands" });
  await master.operations.cancelOperation({ id: operations[0]?.id ?? "" });
  hold.letGo();
  const said = await first;
  expect(said.exitCode).toBe(1);
  expect(said.stderr).toContain("these topologies could not be torn down: stands; decnet topology show NAME says why");

  expect(await tearDown()).toMatchObject({ exitCode: 0 });
  await becomes(master, "stands", TopologyState.TORN_DOWN);
  await becomes(master, "failed", TopologyState.TORN_DOWN);
  expect((await readTopology(master, "designed"))?.state).toBe(TopologyState.PENDING);
  await eventually(async () => (await containersOf(failed)).size === 0);
});
