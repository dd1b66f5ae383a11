import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { type BatchResult, UpdateMode } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyService, TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { corpFile, reasonOf, type TopologyFiles, useTopologyFiles } from "../support/topology-files.ts";
import type { TestMaster } from "../support/use-master.ts";

describe("a decky of a deployed topology", () => {
  let given: TopologyFiles;
  let master: TestMaster;
  const name = (suffix: string) => given.name(suffix);
  const read = (topology: string) => given.read(topology);
  const corp = () => name("corp");
  const inner = () => ({ topologyId: corp(), name: "inner" });

  beforeAll(async () => {
    given = await useTopologyFiles();
    master = given.master;
    await given.importOf(corpFile.replaceAll("10.231.", "10.232."), corp());
    const { topology } = await master.topologies.deployTopology({ topology: corp() });
    expect(topology?.state).toBe(TopologyState.ACTIVE);
  });

  afterAll(() => given?.dispose());

  it("is named by the topology's name in every call, and so it is in every answer", async () => {
    const { id } = await read(corp());
    const { operation } = await master.mutations.addService({ decky: inner(), service: "ftp" });
    expect(operation?.decky).toMatchObject({ topologyId: id, topology: corp(), name: "inner" });
    expect((await master.fleet.getDecky({ decky: { topologyId: id, name: "inner" } })).decky?.ref).toEqual(operation?.decky);
    expect((await master.fleet.listRevisions({ decky: inner() })).revisions[0]?.number).toBe(2);
    const listed = await master.operations.listOperations({ filter: `decky=${corp()}/inner,kind=add_service` });
    expect(listed.operations.map(({ id: each }) => each)).toEqual([operation?.id]);
    const entries = await master.access.listAudit({ filter: "action=decnet.v1.MutationService/AddService" });
    expect(entries.entries[0]?.target).toBe(`${corp()}/inner/ftp`);
  });

  it("is named so in what to do next", async () => {
    const error = await master.mutations.addService({ decky: inner(), service: "redis" }).catch(fromConnectError);
    expect(error).toMatchObject({
      reason: "SERVICE_ALREADY_PRESENT",
      next: [`decnet service set ${corp()}/inner redis KEY=VALUE`],
    });
    const missing = { topologyId: "nosuch", name: "inner" };
    expect(await reasonOf(master.fleet.getDecky({ decky: missing }))).toBe("TOPOLOGY_NOT_FOUND");
  });

  it("is found by its topology, and not taken for one of the fleet", async () => {
    const find = async (filter: string) =>
      (await master.fleet.listDeckies({ filter })).deckies.map(({ ref }) => `${ref?.topology}/${ref?.name}`);
    expect(await find(`topology=${corp()}`)).toEqual([`${corp()}/gateway`, `${corp()}/inner`]);
    expect(await find(`name=${corp()}/in*`)).toEqual([`${corp()}/inner`]);
    expect(await find("name=inner")).toEqual([]);
    expect(await find("topology=")).toEqual([]);
    expect(await find("topology!=,service=http")).toEqual([`${corp()}/inner`]);
  });

  it("is changed in batches, by its name or by what selects it", async () => {
    const batch = async (request: Parameters<typeof master.mutations.batchMutate>[0]) => {
      const results: BatchResult[] = [];
      for await (const { item } of master.mutations.batchMutate(request)) if (item.case === "result") results.push(item.value);
      return results.sort((one, other) => one.index - other.index);
    };
    const config = { user: "joe" };
    const update = { service: "ssh", config, mode: UpdateMode.MERGE, apply: true };
    const selected = await batch({
      select: `topology=${corp()},service=ssh`,
      changes: [{ change: { case: "update", value: update } }],
    });
    expect(selected).toMatchObject([
      { decky: { topology: corp(), name: "gateway" }, operation: { state: OperationState.SUCCEEDED } },
    ]);
    const named = await batch({
      changes: [
        { change: { case: "remove", value: { decky: inner(), service: "http" } } },
        { change: { case: "remove", value: { decky: inner(), service: "smtp" } } },
        { change: { case: "remove", value: { decky: { name: "inner" }, service: "redis" } } },
      ],
    });
    expect(named.map(({ error }) => error?.reason ?? "")).toEqual(["", "SERVICE_NOT_PRESENT", "DECKY_NOT_FOUND"]);
    expect(named[1]?.error?.next).toContain(`decnet decky get ${corp()}/inner`);
  });

  it("cannot be changed before the topology is deployed, also not in a batch", async () => {
    await master.topologies.createTopology({ name: name("later"), withDmz: true });
    const decky = { topologyId: name("later"), name: "gateway" };
    const responses = master.mutations.batchMutate({
      changes: [{ change: { case: "add", value: { decky, service: "http" } } }],
    });
    const reasons: (string | undefined)[] = [];
    for await (const { item } of responses) if (item.case === "result") reasons.push(item.value.error?.reason);
    expect(reasons).toEqual(["TOPOLOGY_STATE"]);
  });

  it("has every call about its topology on record, with what it was about", async () => {
    await master.topologies.addLan({ topology: corp(), name: "more" }).catch(() => undefined);
    // Somebody else's: what one caller is refused again and again is counted, and hundreds of calls were refused before.
    const { secret } = await master.access.createToken({ name: "another", role: Role.OPERATOR });
    const client = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token: secret });
    const another = createClient(TopologyService, client.transport);
    await another.removeLan({ topology: corp(), name: "nosuch" }).catch(() => undefined);
    client.close();
    await master.topologies.createTopology({ name: name("drawn") });
    await master.topologies.deleteTopology({ topology: name("drawn") });
    const { entries } = await master.access.listAudit({ filter: "action=decnet.v1.TopologyService/*" });
    const told = entries.map(({ action, target, outcome }) => [action.split("/")[1], target, outcome]);
    expect(told).toContainEqual(["CreateTopology", corp(), "accepted"]);
    expect(told).toContainEqual(["DeployTopology", corp(), "accepted"]);
    expect(told).toContainEqual(["RemoveLan", `${corp()}/nosuch`, "LAN_NOT_FOUND"]);
    expect(told).toContainEqual(["DeleteTopology", name("drawn"), "accepted"]);
  });
});
