import { fromConnectError } from "@decnet/common/rpc/errors";
import { UpdateMode } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Site, useThisHost, useWorkerHost } from "../support/topology-sites.ts";
import { eventually, type TestMaster } from "../support/use-master.ts";

/** All four kinds of mutation, wherever a topology is. */
describe.each([
  ["this host", useThisHost],
  ["a worker", useWorkerHost],
])("a decky of a topology on %s", (_, useSite) => {
  let site: Site;
  let master: TestMaster;
  let topology: string;
  let id = "";
  /** The revision that is restored at the end. */
  let withHttp = 0;
  const inner = () => ({ topologyId: id, name: "inner" });
  const read = async () => (await master.fleet.getDecky({ decky: inner() })).decky ?? expect.fail("no decky");
  const slugs = async () => (await read()).services.map(({ slug }) => slug);
  const container = (slug: string) => `${id}-inner-${slug}`;
  const environment = async (slug: string) => site.docker("inspect", "--format", '{{join .Config.Env "\\n"}}', container(slug));
  const refused = (work: Promise<unknown>) =>
    work.then(
      () => "",
      (error: unknown) => fromConnectError(error).reason as string,
    );
  const isWell = async () => (await master.topologies.getTopology({ topology })).topology?.state === TopologyState.ACTIVE;
  /** Nothing but one container of the decky is another one than before. */
  const expectOnly = (changed: string, before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>) => {
    for (const [name, facts] of before) if (name !== changed) expect(after.get(name), name).toBe(facts);
  };

  beforeAll(async () => {
    site = await useSite({ slugs: ["redis", "http"] });
    master = site.master;
    topology = `${master.prefix}-corp`;
    const made = await master.topologies.createTopology({ name: topology, host: site.host });
    id = made.topology?.id ?? expect.fail("no topology");
    const services = [{ slug: "redis" }];
    await master.topologies.addLan({ topology, name: "dmz", isDmz: true, subnet: site.subnetOf(0) });
    await master.topologies.addLan({ topology, name: "core", subnet: site.subnetOf(1) });
    const attachments = [{ lan: "dmz" }, { lan: "core" }];
    await master.topologies.addDecky({ topology, name: "gateway", services, attachments, forwards: true });
    await master.topologies.addDecky({ topology, name: "inner", services, attachments: [{ lan: "core" }] });
  });
  afterAll(async () => {
    await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
    await site?.dispose();
  });

  it("looks at the topology's status: before it is deployed none of its deckies can be changed (W-10)", async () => {
    expect(await refused(master.mutations.addService({ decky: inner(), service: "http" }))).toBe("TOPOLOGY_STATE");
    expect(await refused(master.mutations.removeService({ decky: inner(), service: "redis" }))).toBe("TOPOLOGY_STATE");
    expect(await refused(master.fleet.restoreRevision({ decky: inner(), revision: 1 }))).toBe("TOPOLOGY_STATE");
    expect(await refused(master.topologies.deployTopology({ topology, expectedVersion: 2 }))).toBe("VERSION_CONFLICT");
    expect(await site.containers(`${id}-`)).toEqual(new Map());
  });

  it("is changed by whoever saw the deploy end, at once: what is stored of the state may follow later", async () => {
    const options = { wait: Wait.ACCEPTED };
    const deploy = await master.topologies.deployTopology({ topology, expectedVersion: 5, options });
    for await (const { item } of master.operations.watchOperation({ id: deploy.operation?.id ?? "" }))
      if (item.case === "operation" && item.value.finishedAt !== undefined)
        expect(item.value).toMatchObject({ state: OperationState.SUCCEEDED });
    expect(await refused(master.mutations.addService({ decky: inner(), service: "http", options: { dryRun: true } }))).toBe("");
  });

  it("has a service added, and nothing else is touched", async () => {
    const before = await site.containers(`${id}-`);
    const { operation } = await master.mutations.addService({ decky: inner(), service: "http" });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, receipt: { othersUnchanged: true } });
    const after = await site.containers(`${id}-`);
    expectOnly("", before, after);
    expect(after.get(container("http"))).toMatch(/running$/);
  });

  it("has settings applied: its own container is a new one with them", async () => {
    const before = await site.containers(`${id}-`);
    const config = { server_header: "Apache/2.4.41" };
    const { operation } = await master.mutations.updateServiceConfig({ decky: inner(), service: "http", config, apply: true });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, receipt: { othersUnchanged: true } });
    const after = await site.containers(`${id}-`);
    expectOnly(container("http"), before, after);
    expect(after.get(container("http"))).not.toBe(before.get(container("http")));
    expect(await environment("http")).toContain("SERVER_HEADER=Apache/2.4.41");
    withHttp = (await read()).appliedRevision;
  });

  describe("has settings that are saved and not applied", () => {
    const isStaged = async () => {
      const redis = (await read()).services.find(({ slug }) => slug === "redis");
      expect(redis?.staged).toEqual({ maxmemory_mb: 33 });
      expect(await environment("redis")).toContain("MAXMEMORY_MB=64");
      const compose = await site.docker(
        "inspect",
        "--format",
        '{{index .Config.Labels "com.docker.compose.project.config_files"}}',
        container("redis"),
      );
      expect(await site.run("grep", "MAXMEMORY_MB", compose[0] ?? "")).toMatch(/\b64\b/);
    };

    it("which touch nothing", async () => {
      const before = await site.containers(`${id}-`);
      const config = { maxmemory_mb: 33 };
      const mode = UpdateMode.MERGE;
      const saved = await master.mutations.updateServiceConfig({ decky: inner(), service: "redis", config, mode, apply: false });
      expect(saved.operation?.state).toBe(OperationState.SUCCEEDED);
      await site.checks(3);
      expect(await site.containers(`${id}-`)).toEqual(before);
      await isStaged();
    });

    it.each([
      [
        "a drift check repaired its container",
        async () => {
          const before = (await site.containers(`${id}-`)).get(container("redis"));
          await site.docker("rm", "-f", container("redis"));
          await eventually(async () => {
            const now = (await site.containers(`${id}-`)).get(container("redis"));
            return now !== undefined && now !== before && now.endsWith("running");
          }, 30_000);
        },
      ],
      ["its daemons were started again", () => site.restart()],
      ["its topology was resynced", () => master.topologies.resyncTopology({ topology })],
      ["another of its services changed", () => master.mutations.removeService({ decky: inner(), service: "http" })],
    ])("which stay so after %s (W-12)", async (_what, happen) => {
      await happen();
      await eventually(isWell, 60_000);
      await isStaged();
    });

    it("which stay so when its services are made again with its base, beside a fleet (W-12, W-25)", async () => {
      const namespaces = async () => {
        const pids = await site.docker("inspect", "--format", "{{.State.Pid}}", `${id}-inner`, container("redis"));
        return Promise.all(pids.map((pid) => site.run("readlink", `/proc/${pid}/ns/net`)));
      };
      const before = await namespaces();
      await master.topologies.attachDecky({ topology, name: "inner", attachment: { lan: "dmz" } });
      const after = await namespaces();
      expect(new Set(after).size).toBe(1);
      expect(after).not.toEqual(before);
      const containers = await site.containers(`${id}-`);
      const placement = { where: { case: "host", value: site.host } } as const;
      const deckies = [{ name: `${master.prefix}-a`, services: [{ slug: "redis" }], placement }];
      await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } });
      await master.fleet.teardownFleet({});
      expect(await site.containers(`${id}-`)).toEqual(containers);
      await master.topologies.detachDecky({ topology, name: "inner", lan: "dmz" });
      expect(new Set(await namespaces()).size).toBe(1);
      await isStaged();
    });

    it("until they are applied", async () => {
      const mode = UpdateMode.MERGE;
      await master.mutations.updateServiceConfig({ decky: inner(), service: "redis", config: {}, mode, apply: true });
      expect(await environment("redis")).toContain("MAXMEMORY_MB=33");
      expect((await read()).services.find(({ slug }) => slug === "redis")?.staged).toBeUndefined();
    });
  });

  it("has a removed service really gone, also for its host after everything was started again (W-30)", async () => {
    await master.mutations.addService({ decky: inner(), service: "http" });
    await master.mutations.removeService({ decky: inner(), service: "http" });
    const gone = async () => {
      expect(await slugs()).toEqual(["redis"]);
      expect([...(await site.containers(`${id}-inner`)).keys()].sort()).toEqual([`${id}-inner`, container("redis")]);
      const [pid = ""] = await site.docker("inspect", "--format", "{{.State.Pid}}", `${id}-inner`);
      expect(await site.run("nsenter", "-t", pid, "-n", "ss", "-Hltn")).not.toMatch(/:80\b/);
    };
    await gone();
    await site.restart();
    await eventually(isWell, 60_000);
    await master.topologies.resyncTopology({ topology });
    await gone();
  });

  it("is restored to an earlier revision, with the services and settings of then", async () => {
    const { operation } = await master.fleet.restoreRevision({ decky: inner(), revision: withHttp });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(await slugs()).toEqual(["redis", "http"]);
    expect(await environment("http")).toContain("SERVER_HEADER=Apache/2.4.41");
    expect(await environment("redis")).toContain("MAXMEMORY_MB=64");
  });

  it("cannot be changed when its topology is torn down, and nothing comes back (W-10)", async () => {
    await master.topologies.teardownTopology({ topology });
    expect(await refused(master.mutations.addService({ decky: inner(), service: "http" }))).toBe("TOPOLOGY_STATE");
    expect(await refused(master.topologies.addLan({ topology, name: "more" }))).toBe("TOPOLOGY_STATE");
    expect(await refused(master.topologies.resyncTopology({ topology }))).toBe("TOPOLOGY_STATE");
    expect(await site.containers(`${id}-`)).toEqual(new Map());
  });
});
