import { type Operation, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bridgesOf, rulesAbout } from "../support/rules-about.ts";
import { type Site, useThisHost, useWorkerHost } from "../support/topology-sites.ts";
import { eventually, type TestMaster } from "../support/use-master.ts";

const noticedMs = 20_000;
const repairedMs = 45_000;
/** `npm run looks:topologies`: as many as an hour has at the usual pace, one after the other. */
const looks = Number(process.env["DECNET_LOOKS"] ?? "20");

/** What a drift check does about a topology, and that it does nothing else. */
describe.each([
  ["this host", useThisHost, false],
  ["a worker", useWorkerHost, true],
] as const)("a topology on %s", (_, useSite, hasFew) => {
  let site: Site;
  let master: TestMaster;
  let topology: string;
  let id = "";
  const repairs = async (): Promise<Operation[]> =>
    (await master.operations.listOperations({ filter: "kind=repair", pageSize: 1_000 })).operations;
  const everything = async () => (await master.operations.listOperations({ pageSize: 1_000 })).operations.map((each) => each.id);
  const isWell = async () => (await master.topologies.getTopology({ topology })).topology?.state === TopologyState.ACTIVE;
  const network = (lan: string) => `decnet-${id}-${lan}`;
  const listed = () => site.run("nft", "list", "ruleset");
  const publishedTable = async () => {
    const tables = (await listed()).split(/^(?=table )/m).filter((table) => table.includes(`${site.publishOn} . `));
    return tables[0]?.split(" ")[2] ?? expect.fail("no table");
  };
  const ownRules = async () => {
    const filter = ["--filter", `name=^decnet-${id}-`, "--format", "{{.ID}} {{.Name}}"];
    const networks = await site.docker("network", "ls", "--no-trunc", ...filter);
    return rulesAbout(await listed(), { ...bridgesOf(networks), [site.publishOn]: "decoy" });
  };
  const identity = async () =>
    site.docker(
      "inspect",
      "--format",
      "{{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{$n.IPAddress}} {{$n.MacAddress}} {{end}}",
      `${id}-gateway`,
      `${id}-inner`,
    );

  beforeAll(async () => {
    site = await useSite({ slugs: ["redis"], driftIntervalMs: 500 });
    master = site.master;
    topology = `${master.prefix}-corp`;
    const { publishOn, host } = site;
    const made = await master.topologies.createTopology({ name: topology, host, publishOn });
    id = made.topology?.id ?? expect.fail("no topology");
    const services = [{ slug: "redis" }];
    await master.topologies.addLan({ topology, name: "dmz", isDmz: true, subnet: site.subnetOf(0) });
    await master.topologies.addLan({ topology, name: "core", subnet: site.subnetOf(1) });
    const attachments = [{ lan: "dmz" }, { lan: "core" }];
    await master.topologies.addDecky({ topology, name: "gateway", services, attachments, forwards: true });
    await master.topologies.addDecky({ topology, name: "inner", services, attachments: [{ lan: "core" }] });
    await master.topologies.deployTopology({ topology });
  });
  afterAll(async () => {
    await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
    await site?.dispose();
  });

  it("that is as it should be is left alone, however often it is looked at (W-31)", async () => {
    await eventually(isWell);
    const [known, containers] = [await everything(), await site.containers(`${id}-`)];
    const before = await ownRules();
    await site.checks(3);
    expect(await site.lookAgain(looks)).toEqual([]);
    expect(await everything()).toEqual(known);
    expect(await site.containers(`${id}-`)).toEqual(containers);
    expect(await ownRules()).toEqual(before);
  });

  const accidents: readonly (readonly [what: string, cause: string, remove: () => Promise<unknown>])[] = [
    ["a container is removed by hand", "requested", () => site.docker("rm", "-f", `${id}-inner-redis`)],
    [
      "a network is removed by hand",
      "base",
      // A look in between would begin to put the gateway back on it, and that would fail.
      () =>
        site.unseen(async () => {
          await site.docker("network", "disconnect", "-f", network("dmz"), `${id}-gateway`);
          await site.docker("network", "rm", network("dmz"));
        }),
    ],
    [
      "a port's rule is removed by hand",
      "publish",
      async () => {
        const element = `{ ${site.publishOn} . 6379 }`;
        await site.run("nft", "delete", "element", "ip", await publishedTable(), "tcp_ports", element);
      },
    ],
    [
      "what lets visitors pass is removed by hand",
      "publish",
      async () => {
        const line = (await site.run("iptables", "-S", "DOCKER-USER")).split("\n").find((each) => each.includes(site.publishOn));
        await site.run("iptables", ...(line ?? expect.fail("no rule")).replace(/^-A/, "-D").replaceAll('"', "").split(" "));
      },
    ],
  ];
  // The rest is the same program on the same kind of host.
  it.each(hasFew ? accidents.slice(0, 2) : accidents)(
    "has exactly one repair, with its cause, when %s",
    async (_what, cause, remove) => {
      const before = { identity: await identity(), rules: await ownRules() };
      const known = new Set((await repairs()).map((each) => each.id));
      const fresh = async () => (await repairs()).filter((each) => !known.has(each.id));
      await remove();
      const [repair] = await eventually(async () => {
        const found = await fresh();
        return found.length > 0 && found.every(({ state }) => state >= OperationState.SUCCEEDED) ? found : undefined;
      }, noticedMs);
      expect([repair?.actor, repair?.state]).toEqual(["drift", OperationState.SUCCEEDED]);
      expect(`${repair?.reason} ${repair?.plan?.text}`).toContain(cause);
      await eventually(isWell, repairedMs);
      await site.checks(2);
      expect((await fresh()).map(({ plan }) => plan?.text)).toHaveLength(1);
      expect({ identity: await identity(), rules: await ownRules() }).toEqual(before);
    },
  );
});
