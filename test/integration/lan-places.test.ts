import type { MessageInitShape } from "@bufbuild/protobuf";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type FleetLanSchema, LanDriver } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { dockerLines, inside, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";
import { joinWorker, type Swarm, useSwarm } from "../support/use-swarm.ts";

type Lan = MessageInitShape<typeof FleetLanSchema>;

const ip = (...args: string[]) => execa("ip", args);

async function refusalOf(call: Promise<unknown>): Promise<string> {
  const failure = await call.then(
    () => expect.fail("was not refused"),
    (error: unknown) => fromConnectError(error),
  );
  return `${failure.reason} ${failure.message}`;
}

describe("a fleet's LAN on the master's own host", () => {
  let master: TestMaster;
  let link: string;
  let others: string[];
  const third = () => Number(master.lan.subnet.split(".")[2]);
  /** A subnet of the test's own beside those that tests share. */
  const subnet = (last = "0/24") => `10.76.${third()}.${last}`;
  const apply = (lan: Lan, more: { address?: string; dryRun?: boolean } = {}) =>
    master.fleet.applyFleet({
      fleet: {
        lan: { ...master.lan, ...lan },
        deckies: [{ name: `${master.prefix}-a`, ip: more.address ?? "", services: [{ slug: "redis" }] }],
      },
      options: { dryRun: more.dryRun ?? false },
    });
  const network = async (name: string, ...flags: string[]) => {
    others.push(name);
    await execa("docker", ["network", "create", ...flags, name]);
  };

  beforeAll(async () => {
    const place = await usePlace();
    const named = [place.lan.name, `${place.prefix}-cut`, "bridge", "host"];
    master = await useMaster({ place, env: { DECNET_ADOPTED_NETWORKS: named.join(", ") } });
    link = `${master.prefix}p`;
    others = [];
    await ip("link", "add", link, "mtu", "1380", "type", "veth", "peer", "name", `${master.prefix}q`);
    for (const end of [link, `${master.prefix}q`]) await ip("link", "set", end, "up");
  });
  afterEach(async () => {
    await master.fleet.teardownFleet({});
    const left = await dockerLines(["ps", "-aq", "--filter", `name=^/${master.prefix}`]);
    if (left.length > 0) await execa("docker", ["rm", "-f", ...left]);
    for (const name of [master.lan.name, ...others.splice(0)]) await execa("docker", ["network", "rm", name], { reject: false });
    await ip("address", "flush", "dev", link);
  });
  afterAll(async () => {
    await master.dispose();
    await ip("link", "del", link);
  });

  it.each<readonly [string, (from: string) => Promise<unknown>, (from: string) => string]>([
    [
      "on the host's own subnet",
      () => ip("address", "add", subnet("9/24"), "dev", link),
      () => `overlaps ${subnet("9/24")}, which this host has on ${link}`,
    ],
    [
      "where the host has a route",
      () => ip("route", "add", subnet("128/26"), "dev", link),
      () => `overlaps ${subnet("128/26")}, which this host has a route to through ${link}`,
    ],
    [
      "on another network of the engine",
      () => network(`${master.prefix}-other`, "--subnet", subnet("64/26")),
      () => `overlaps ${subnet("64/26")} of the Docker network ${master.prefix}-other`,
    ],
    [
      "under the name of a network with another subnet",
      () => network(master.lan.name, "--subnet", subnet("64/26")),
      () => `the Docker network ${master.lan.name} is there already, with ${subnet("64/26")} in place of ${subnet()}`,
    ],
  ])("%s is refused in the plan and in the apply, naming who has it", async (_, prepare, why) => {
    await prepare(subnet());
    for (const dryRun of [true, false]) {
      const refusal = await refusalOf(apply({ subnet: subnet() }, { dryRun }));
      expect(refusal).toMatch(/^FLEET_INVALID fleet\.lan: host local cannot have this LAN: /);
      expect(refusal).toContain(why(subnet()));
    }
    expect((await master.fleet.listDeckies({})).deckies).toEqual([]);
    await ip("route", "flush", "dev", link);
  });

  it.each<readonly [string, string, string[], RegExp]>([
    ["somebody else made", "theirs", [], /was made by somebody else; .* DECNET_ADOPTED_NETWORKS on this host/],
    [
      "another installation made",
      "other",
      ["--label", "decnet.instance=somebody"],
      /belongs to another installation \(somebody\); .* DECNET_ADOPTED_NETWORKS/,
    ],
    ["bears our mark without a name", "blank", ["--label", "decnet.instance="], /DECNET_ADOPTED_NETWORKS on this host/],
    ["bears what looks like our mark", "alike", ["--label", "decnet.instance.x=1"], /was made by somebody else/],
    [
      "is cut off by the engine, adopted or not",
      "cut",
      ["--internal"],
      /is internal: nobody outside of it would reach its deckies/,
    ],
  ])("is refused on a network that %s, and nothing of it is touched", async (_, name, flags, why) => {
    const whole = `${master.prefix}-${name}`;
    await network(whole, "--subnet", subnet(), ...flags);
    for (const dryRun of [true, false]) {
      const refusal = await refusalOf(apply({ name: whole, subnet: subnet() }, { dryRun }));
      expect(refusal).toMatch(/^FLEET_INVALID fleet\.lan: host local cannot have this LAN: the Docker network /);
      expect(refusal).toMatch(why);
    }
    expect(await dockerLines(["network", "inspect", "--format", "{{.Name}} {{len .Containers}}", whole])).toEqual([`${whole} 0`]);
  });

  it("is refused on the engine's own networks, also by a name that is the id of one", async () => {
    for (const name of ["bridge", "host", "none"])
      expect(await refusalOf(apply({ name, subnet: subnet() }, { dryRun: true }))).toBe(
        "FLEET_INVALID fleet.lan.name: is a network of the engine itself",
      );
    const [id = ""] = await dockerLines(["network", "inspect", "--format", "{{.Id}}", "bridge"]);
    expect(await refusalOf(apply({ name: id.slice(0, 63), subnet: subnet() }, { dryRun: true }))).toMatch(/is the id of|name/);
  });

  it("is refused by the apply when somebody makes a network of that name after the plan", async () => {
    await apply({ subnet: subnet() }, { dryRun: true });
    const rival = `${master.prefix}-rival`;
    await apply({ name: rival, subnet: subnet() }, { dryRun: true });
    await network(rival, "--subnet", subnet());
    expect(await refusalOf(apply({ name: rival, subnet: subnet() }))).toContain("was made by somebody else");
  });

  it.each(["127.66.0.0/24", "224.66.0.0/24", "0.66.0.0/24", "240.66.0.0/24", "169.254.66.0/24"])(
    "is refused on %s, which is nobody's to have",
    async (reserved) => {
      expect(await refusalOf(apply({ subnet: reserved }, { dryRun: true }))).toMatch(
        /^FLEET_INVALID fleet\.lan\.subnet: .* overlaps /,
      );
    },
  );

  it("gives no address that a container of somebody else has, or will have when it starts", async () => {
    await network(master.lan.name, "--subnet", subnet());
    const run = (name: string, how: string[], address: string) =>
      execa("docker", [
        ...how,
        "--name",
        `${master.prefix}-${name}`,
        "--network",
        master.lan.name,
        "--ip",
        address,
        debianBase,
        "sleep",
        "60",
      ]);
    await run("camera", ["run", "-d"], subnet("2"));
    await run("printer", ["create"], subnet("3"));
    for (const [address, holder] of [
      [subnet("2"), "camera"],
      [subnet("3"), "printer"],
    ] as const)
      expect(await refusalOf(apply({ subnet: subnet() }, { address, dryRun: true }))).toBe(
        `FLEET_INVALID fleet.deckies: ${master.prefix}-a wants ${address}, which the container ${master.prefix}-${holder} has`,
      );
    await apply({ subnet: subnet() });
    expect((await master.fleet.listDeckies({})).deckies.map((decky) => decky.addresses[0]?.ip)).toEqual([subnet("4")]);
    // A network that was adopted stays when its last decky goes.
    const { operation } = await master.fleet.teardownDecky({ decky: { name: `${master.prefix}-a` } });
    expect(operation?.plan?.text).toContain(`release-network ${master.lan.name} (its rule goes with the last decky on it)`);
    expect(await dockerLines(["network", "ls", "-q", "--filter", `name=^${master.lan.name}$`])).toHaveLength(1);
  });

  it("says in the plan who took a decky's address meanwhile, and touches nothing", async () => {
    await apply({ subnet: subnet() }, { address: subnet("5") });
    await execa("docker", ["network", "disconnect", "-f", master.lan.name, `${master.prefix}-a`]);
    await execa("docker", ["rm", "-f", `${master.prefix}-a`]);
    await execa("docker", [
      ...["run", "-d", "--name", `${master.prefix}-thief`, "--network", master.lan.name, "--ip", subnet("5")],
      ...[debianBase, "sleep", "60"],
    ]);
    const { operation } = await master.mutations.updateServiceConfig({
      decky: { name: `${master.prefix}-a` },
      service: "redis",
      config: { maxmemory_mb: 32 },
      apply: true,
      options: { dryRun: true },
    });
    expect(operation?.plan?.steps.map(({ verb, cause }) => `${verb} ${cause}`)).toContain(
      `blocked ${subnet("5")} is taken by the container ${master.prefix}-thief`,
    );
  });

  const mtuOf = async () => {
    const { stdout } = await inside(`${master.prefix}-a`, "ip", ["-json", "link", "show", "eth0"]);
    return (JSON.parse(stdout) as { mtu: number }[])[0]?.mtu;
  };

  it("has the MTU that it is given, which the plan shows and which stays", async () => {
    const planned = await apply({ subnet: subnet(), mtu: 1_280 }, { dryRun: true });
    expect(planned.operation?.plan?.text).toContain("network is absent; MTU 1280, as asked for");
    await apply({ subnet: subnet(), mtu: 1_280 });
    expect(await mtuOf()).toBe(1_280);
    expect((await master.fleet.getFleet({})).fleet?.lan?.mtu).toBe(1_280);
    expect(await refusalOf(apply({ subnet: subnet(), mtu: 1_400 }))).toContain("tear the fleet down before you change its LAN");
  });

  it("has its parent's MTU when it is given none, and no greater one", async () => {
    await ip("address", "add", subnet("9/24"), "dev", link);
    const lan = { subnet: subnet(), driver: LanDriver.MACVLAN, parent: link };
    expect(await refusalOf(apply({ ...lan, mtu: 1_500 }))).toContain(`an MTU of 1500 is more than ${link} has, which is 1380`);
    expect(await refusalOf(apply(lan, { address: subnet("9") }))).toContain(
      `wants ${subnet("9")}, which this host, on ${link} has`,
    );
    await apply(lan);
    expect(await mtuOf()).toBe(1_380);
  });
});

describe("a fleet's LAN on a worker", () => {
  let swarm: Swarm;
  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"], join: false });
    const [worker] = swarm.workers;
    if (worker !== undefined) await joinWorker(swarm.master, worker, { env: { DECNET_ADOPTED_NETWORKS: "theirs" } });
  });
  afterAll(() => swarm?.dispose());

  it("is refused, and its addresses are, by what that host has", async () => {
    const { master, workers } = swarm;
    const { host } = workers[0] ?? expect.fail("no worker");
    const name = `${master.prefix}-a`;
    const apply = (lan: Lan, address = "") =>
      master.fleet.applyFleet({
        fleet: {
          lan,
          deckies: [
            { name, ip: address, services: [{ slug: "redis" }], placement: { where: { case: "host", value: "edge-1" } } },
          ],
        },
      });
    await host.docker(["network", "create", "--subnet", "10.75.1.0/24", "theirs"]);
    expect(await refusalOf(apply({ ...master.lan, subnet: "10.75.0.0/16" }))).toBe(
      "FLEET_INVALID fleet.lan: host edge-1 cannot have this LAN: " +
        "10.75.0.0/16 overlaps 10.75.1.0/24 of the Docker network theirs",
    );
    await host.docker(["network", "create", "--subnet", "10.75.2.0/24", "secret"]);
    expect(await refusalOf(apply({ name: "secret", subnet: "10.75.2.0/24" }))).toMatch(
      /^FLEET_INVALID fleet.lan: host edge-1 cannot have this LAN: the Docker network secret was made by somebody else; /,
    );
    await host.docker(["run", "-d", "--name", "camera", "--network", "theirs", "--ip", "10.75.1.2", debianBase, "sleep", "60"]);
    const lan = { name: "theirs", subnet: "10.75.1.0/24" };
    expect(await refusalOf(apply(lan, "10.75.1.2"))).toBe(
      `FLEET_INVALID fleet.deckies: ${name} wants 10.75.1.2, which the container camera, on edge-1 has`,
    );
    await apply(lan);
    expect((await master.fleet.listDeckies({})).deckies.map((decky) => decky.addresses[0]?.ip)).toEqual(["10.75.1.3"]);
  });
});
