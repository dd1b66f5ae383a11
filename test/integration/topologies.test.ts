import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, dockerLines, inside, type TestMaster, useMaster } from "../support/use-master.ts";

/** Two LANs, a gateway between them, and a decky behind it. */
describe("a topology on this host", () => {
  let master: TestMaster;
  let topology: string;
  let id: string;
  const network = (lan: string) => `decnet-${id}-${lan}`;
  const inner = () => ({ topologyId: id, name: "inner" });
  const networks = () => dockerLines(["network", "ls", "-q", "--filter", `name=^decnet-${id}-`]);

  beforeAll(async () => {
    master = await useMaster();
    topology = `${master.prefix}-corp`;
    const made = await master.topologies.createTopology({ name: topology });
    id = made.topology?.id ?? expect.fail("no topology");
  });
  afterAll(async () => {
    await master.topologies.teardownTopology({ topology }).catch(() => undefined);
    await master.dispose();
  });

  it("is designed step by step, and says what is wrong until it can be deployed", async () => {
    expect((await master.topologies.validateTopology({ topology })).issues.map(({ code }) => code)).toEqual(["DMZ_MISSING"]);
    const services = [{ slug: "redis" }];
    await master.topologies.addLan({ topology, name: "dmz", isDmz: true });
    await master.topologies.addLan({ topology, name: "core" });
    const attachments = [{ lan: "dmz" }, { lan: "core" }];
    await master.topologies.addDecky({ topology, name: "gateway", services, attachments, forwards: true });
    const added = await master.topologies.addDecky({ topology, name: "inner", services, attachments: [{ lan: "core" }] });
    expect(added.topology?.version).toBe(5);
    expect(await master.topologies.validateTopology({ topology })).toMatchObject({ valid: true, issues: [] });
  });

  it("is deployed: every decky runs, on the LANs that are its own", async () => {
    const { topology: deployed, operation } = await master.topologies.deployTopology({ topology });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(deployed).toMatchObject({ state: TopologyState.ACTIVE, reason: "" });
    expect(deployed?.deckies.map(({ name, decky }) => [name, DeckyState[decky?.state ?? 0]])).toEqual([
      ["gateway", "RUNNING"],
      ["inner", "RUNNING"],
    ]);
    const seen = await dockerLines([
      "inspect",
      "--format",
      "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
      `${id}-gateway`,
      `${id}-inner`,
    ]);
    expect(seen.map((line) => line.trim())).toEqual([`${network("core")} ${network("dmz")}`, network("core")]);
    const internal = await dockerLines(["network", "inspect", "--format", "{{.Internal}}", network("dmz"), network("core")]);
    expect(internal).toEqual(["false", "true"]);
  });

  it("has a service added to its inner decky, and nothing else is touched", async () => {
    const before = await containersOf(id);
    const { operation } = await master.mutations.addService({ decky: inner(), service: "http" });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, receipt: { othersUnchanged: true } });
    const after = await containersOf(id);
    for (const [name, facts] of before) expect(after.get(name)).toBe(facts);
    expect([...after.keys()].filter((name) => !before.has(name))).toEqual([`${id}-inner-http`]);
    expect(
      (await inside(`${id}-inner`, "curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/"])).stdout,
    ).toBe("200");
  });

  it("is torn down when everything of it is gone", async () => {
    const { topology: gone } = await master.topologies.teardownTopology({ topology });
    expect(gone?.state).toBe(TopologyState.TORN_DOWN);
    expect([...(await containersOf(id)).keys()]).toEqual([]);
    expect(await networks()).toEqual([]);
    await master.topologies.deleteTopology({ topology });
    await expect(master.topologies.getTopology({ topology })).rejects.toThrow("no topology");
  });
});
