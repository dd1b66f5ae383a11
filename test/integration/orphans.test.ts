import { randomUUID } from "node:crypto";
import { access, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { renderPublications } from "@decnet/engine/policy/published";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyFleet } from "../support/swarm-changes.ts";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { containersOf, deploy, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

const labelsOf = async (docker: (...args: string[]) => Promise<string[]>, container: string) => {
  const format = '{{index .Config.Labels "decnet.instance"}} {{.Image}}';
  const [line = ""] = await docker("inspect", "--format", format, container);
  const [installation = "", image = ""] = line.split(" ");
  return { installation, image };
};

describe("what belongs to nothing on this host", () => {
  let master: TestMaster;
  let cli: TestCli;
  let installation: string;
  let image: string;
  const others: readonly [string, string] = [randomUUID(), randomUUID()];
  const name = (part: string) => `${master.prefix}-${part}`;
  const docker = (...args: string[]) => dockerLines(args);
  const label = (of: string, decky = "") => [
    ...["--label", `decnet.instance=${of}`],
    ...(decky === "" ? [] : ["--label", `decnet.decky=fleet/${decky}`]),
  ];
  const make = (called: string, ...more: string[]) => docker("create", "--name", called, ...more, image, "true");
  const listed = async (of = "") => (await master.swarm.listOrphans({ name: "local", installation: of })).orphans;
  const called = async (of = "") => (await listed(of)).map(({ kind, name: each }) => `${kind} ${each}`);
  const remove = (more: Parameters<typeof master.swarm.removeOrphans>[0] = {}) =>
    master.swarm.removeOrphans({ name: "local", ...more });
  const folder = () => join(master.config.dataDir, "deckies", name("gone"));

  beforeAll(async () => {
    master = await useMaster();
    cli = await useCli(master);
    await deploy(master, { web: ["redis"] });
    ({ installation, image } = await labelsOf(docker, name("web-redis")));
  });
  afterAll(async () => {
    for (const table of [installation, ...others].map((each) => `decnet-published-${each}`))
      await execa("nft", ["delete", "table", "ip", table], { reject: false });
    await cli?.dispose();
    await master?.fleet.teardownFleet({});
    await master?.dispose();
  });

  it("is nothing as long as every container, network, volume, rule and project has its decky", async () => {
    expect(await called()).toEqual([]);
    expect((await master.swarm.listOrphans({ name: "local" })).unseen).toEqual([]);
  });

  it("is listed with its reason, whatever it is, and nothing else is", async () => {
    await make(`0123456789ab_${name("gone-redis")}`, ...label(installation, name("gone")));
    await make(name("looks-like-ours"), "--label", "decnet.decky=fleet/nobody");
    await docker("network", "create", ...label(installation), name("left"));
    await docker("volume", "create", ...label(installation, name("gone")), `decnet_${name("gone")}_redis_data`);
    await mkdir(folder(), { recursive: true });
    const rule = {
      address: "198.51.100.9",
      port: 2222,
      protocol: "tcp",
      to: "198.51.100.10",
      decky: `fleet/${name("gone")}`,
    } as const;
    await execa("nft", ["-f", "-"], { input: renderPublications(installation, { add: [rule], remove: [] }) });
    const gone = `was made for ${name("gone")}, which is no decky of this host`;
    expect((await listed()).map(({ kind, name: each, reason }) => [kind, each, reason])).toEqual([
      ["container", `0123456789ab_${name("gone-redis")}`, gone],
      ["network", name("left"), "is of a network that no decky of this host is on"],
      ["volume", `decnet_${name("gone")}_redis_data`, gone],
      ["rules", "2222/tcp of 198.51.100.9", gone],
      ["project", name("gone"), "holds the files of a decky that is not on this host"],
    ]);
  });

  it("is shown by the command line, which removes nothing without an answer", async () => {
    const { stdout, exit } = await cli.run(["host", "orphans"]);
    expect([exit, stdout]).toEqual([0, expect.stringContaining("to remove all 5: decnet host orphans local --remove")]);
    const json = await cli.run(["host", "orphans", "local", "--json"]);
    expect((JSON.parse(json.stdout) as { orphans: unknown[] }).orphans).toHaveLength(5);
    const plan = await cli.run(["host", "orphans", "local", "--remove", "--plan"]);
    expect(plan.stdout).toContain("Plan for local: 5 to remove");
    const refused = await cli.run(["host", "orphans", "local", "--remove"]);
    expect([refused.exit, refused.stderr]).toEqual([2, expect.stringContaining("needs -y")]);
    expect(await called()).toHaveLength(5);
  });

  it("goes only as it was shown: what came since is another plan", async () => {
    const dry = await remove({ options: { dryRun: true } });
    const [first] = await listed();
    await make(name("late"), ...label(installation, name("gone")));
    const expectedPlan = dry.operation?.plan?.digest ?? "";
    expect(await remove({ options: { expectedPlan } }).catch(fromConnectError)).toMatchObject({ reason: "PLAN_CHANGED" });
    expect(await called()).toHaveLength(6);
    const one = await remove({ keys: [first?.key ?? ""] });
    expect(one.operation?.steps.map(({ target }) => target)).toEqual([first?.name]);
    expect(await remove({ keys: [first?.key ?? ""] }).catch(fromConnectError)).toMatchObject({ reason: "ORPHAN_NOT_FOUND" });
  });

  it("stays when somebody uses it, which is said; the rest goes, and what belongs to somebody is not touched", async () => {
    const before = await containersOf(name("web"));
    await make(name("guest"), "--network", name("left"));
    const failed = await remove().catch(fromConnectError);
    expect(failed).toMatchObject({ reason: "APPLY_FAILED", message: expect.stringContaining(`is used by ${name("guest")}`) });
    expect(await called()).toEqual([`network ${name("left")}`]);
    await docker("rm", name("guest"));
    const { exit, stdout } = await cli.run(["host", "orphans", "local", "--remove", "-y", "--reason", "left by a test"]);
    expect([exit, stdout]).toEqual([0, expect.stringContaining("local is rid of an orphan")]);
    expect(await called()).toEqual([]);
    await expect(access(folder())).rejects.toThrow("ENOENT");
    expect((await execa("nft", ["list", "tables"])).stdout).not.toContain(`decnet-published-${installation}`);
    expect(await docker("ps", "-aq", "--filter", `name=^/${name("looks-like-ours")}$`)).toHaveLength(1);
    expect(await containersOf(name("web"))).toEqual(before);
    const { operations } = await master.operations.listOperations({ filter: "kind=remove_orphans" });
    expect(operations.map(({ kind, state, host, reason }) => [kind, state, host, reason])).toEqual([
      [OperationKind.REMOVE_ORPHANS, OperationState.SUCCEEDED, "local", "left by a test"],
      [OperationKind.REMOVE_ORPHANS, OperationState.FAILED, "local", ""],
      [OperationKind.REMOVE_ORPHANS, OperationState.SUCCEEDED, "local", ""],
    ]);
    expect((await remove()).operation?.steps).toEqual([]);
  });

  it("is all of another installation, if that is named and its data is gone", async () => {
    const data = await mkdtemp(join(tmpdir(), "decnet-other-"));
    const [lost, kept] = others;
    const from = (where: string) => ["--label", `com.docker.compose.project.working_dir=${where}/deckies/x`];
    await make(name("lost"), ...label(lost, "x"), ...from(`${data}-gone`));
    await make(name("kept"), ...label(kept, "x"), ...from(data));
    await execa("nft", ["-f", "-"], { input: renderPublications(lost, { add: [], remove: [] }) });
    try {
      const { orphans, others: told } = await master.swarm.listOrphans({ name: "local" });
      expect(orphans).toEqual([]);
      expect(told.filter((each) => others.includes(each.installation))).toMatchObject(
        [
          { installation: lost, count: 2, kept: false, standing: expect.stringContaining(`it was in ${data}-gone`) },
          { installation: kept, count: 1, kept: true, standing: `whose data is in ${data}` },
        ].sort((one, other) => (one.installation < other.installation ? -1 : 1)),
      );
      expect(await remove({ installation: kept }).catch(fromConnectError)).toMatchObject({ reason: "INSTALLATION_KEPT" });
      expect(await called(kept)).toEqual([`container ${name("kept")}`]);
      const refused = await cli.run(["host", "orphans", "--installation", lost, "--remove", "-y"]);
      expect([refused.exit, refused.stderr]).toEqual([2, expect.stringContaining(`--accept installation=${lost}`)]);
      expect(await called(lost)).toEqual([`container ${name("lost")}`, `rules decnet-published-${lost}`]);
      await remove({ installation: lost });
      expect(await called(lost)).toEqual([]);
    } finally {
      await rm(data, { recursive: true });
    }
  });

  it("is no container of a decky that a recreate left when it was cut off: its decky is repaired", async () => {
    const [id = ""] = await docker("inspect", "--format", "{{.Id}}", name("web-redis"));
    const aside = `${id.slice(0, 12)}_${name("web-redis")}`;
    const labels = ["decnet.role=service", "decnet.service=redis"].flatMap((each) => ["--label", each]);
    const before = await containersOf(name("web"));
    await make(aside, ...label(installation, name("web")), ...labels);
    expect(await called()).toEqual([]);
    await eventually(async () => (await docker("ps", "-aq", "--filter", `name=${aside}`)).length === 0, 30_000);
    await docker("rename", name("web-redis"), aside);
    await eventually(
      async () => (await containersOf(name("web"))).get(name("web-redis")) === before.get(name("web-redis")),
      30_000,
    );
    expect(await containersOf(name("web"))).toEqual(before);
  });
});

describe("what belongs to nothing on a worker", () => {
  let swarm: Swarm;
  const worker = () => swarm.workers[0] ?? expect.fail("no worker");
  const docker = (...args: string[]) => worker().host.docker(args);
  const listed = async () => (await swarm.master.swarm.listOrphans({ name: worker().name })).orphans;

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"] });
    await applyFleet(swarm, { web: worker().name });
  });
  afterAll(async () => {
    await swarm?.master.fleet.teardownFleet({}).catch(() => undefined);
    await swarm?.dispose();
  });

  it("is told by its agent, and removed on demand; its deckies go on", async () => {
    const { master } = swarm;
    const web = `${master.prefix}-web`;
    const { installation, image } = await labelsOf(docker, `${web}-redis`);
    const before = await worker().containers(web);
    expect(await listed()).toEqual([]);
    const marks = ["--label", `decnet.instance=${installation}`];
    const of = ["--label", "decnet.decky=t00000000000a/inner"];
    await docker("run", "-d", "--name", "t00000000000a-inner", ...marks, ...of, "--entrypoint", "sleep", image, "600");
    await docker("network", "create", ...marks, "decnet-t00000000000a-dmz");
    expect((await listed()).map(({ name, reason }) => [name, reason])).toEqual([
      ["t00000000000a-inner", "was made for t00000000000a/inner, which is no decky of this host"],
      ["decnet-t00000000000a-dmz", "is of a network that no decky of this host is on"],
    ]);
    const { operation } = await master.swarm.removeOrphans({ name: worker().name });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, host: worker().name });
    expect(operation?.steps.map(({ verb }) => verb)).toEqual(["remove-container", "remove-network"]);
    expect(await listed()).toEqual([]);
    expect(await docker("ps", "-aq", "--filter", "name=t00000000000a")).toEqual([]);
    expect(await worker().containers(web)).toEqual(before);
  });

  it("is not known while it is away", async () => {
    await worker().stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected(worker().name)));
    const asked = await swarm.master.swarm.listOrphans({ name: worker().name }).catch(fromConnectError);
    expect(asked).toMatchObject({ reason: "HOST_UNREACHABLE" });
    const unknown = await swarm.master.swarm.listOrphans({ name: "nowhere" }).catch(fromConnectError);
    expect(unknown).toMatchObject({ reason: "HOST_NOT_FOUND" });
    await worker().start();
  });
});
