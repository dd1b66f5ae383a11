import { once } from "node:events";
import { createServer } from "node:net";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { LanDriver } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";

/** A LAN whose parent is one end of a cable of the test's own; the host has an address there. */
describe("a macvlan LAN", () => {
  let master: TestMaster;
  let parent: string;
  let host: string;
  const address = (last: number) => master.lan.subnet.replace("0/24", String(last));
  const decky = (name: string) => ({ name: `${master.prefix}-${name}` });

  const ip = async (...args: string[]) => (await execa("ip", args)).stdout;
  const links = async () =>
    (await ip("-o", "link", "show", "type", "macvlan")).split("\n").filter((line) => line.includes(`@${parent}:`));
  const helperName = async () => (await links())[0]?.split(" ")[1]?.split("@")[0] ?? "";
  const networks = () => dockerLines(["network", "ls", "--format", "{{.Name}}", "--filter", `name=${master.lan.name}`]);
  /** What redis says to a client in the host's own namespace. */
  const ping = async (to: string) => (await execa("redis-cli", ["-h", to, "ping"], { reject: false, timeout: 5_000 })).stdout;
  const deploy = (driver: LanDriver, names: string[], more: object = {}) =>
    master.fleet.applyFleet({
      fleet: {
        lan: { ...master.lan, driver, parent, ipStart: address(10), ...more },
        deckies: names.map((name) => ({
          ...{ ...decky(name), services: [{ slug: "redis" }] },
          // Others have machines on such a LAN: a decky calls them only where it was allowed to.
          egress: name === "a" ? [{ cidr: master.lan.subnet }] : [],
        })),
      },
    });
  const failureOf = async (call: Promise<unknown>) => {
    const failed = await call.then(
      () => undefined,
      (error: unknown) => fromConnectError(error),
    );
    return [failed?.message, ...(failed?.operation?.error?.outputTail ?? [])].join("\n");
  };

  beforeAll(async () => {
    master = await useMaster();
    parent = `${master.prefix}p`;
    host = address(250);
    await ip("link", "add", parent, "type", "veth", "peer", "name", `${master.prefix}q`);
    await ip("address", "add", `${host}/24`, "dev", parent);
    for (const end of [parent, `${master.prefix}q`]) await ip("link", "set", end, "up");
  });
  afterAll(async () => {
    await master.dispose();
    await ip("link", "del", parent);
  });

  it("is reached from the host through a helper interface, for every decky on it", async () => {
    await deploy(LanDriver.MACVLAN, ["a", "b"]);
    expect(await links()).toHaveLength(1);
    expect(await helperName()).toMatch(/^decnet_macvlan\d+$/);
    const { decky: a } = await master.fleet.getDecky({ decky: decky("a") });
    expect(a?.state).toBe(DeckyState.RUNNING);
    expect([await ping(address(10)), await ping(address(11))]).toEqual(["PONG", "PONG"]);
    const routes = await ip("route", "show", "dev", await helperName());
    expect(
      routes
        .split("\n")
        .map((line) => line.trim())
        .sort(),
    ).toEqual([address(10), address(11)].map((to) => `${to} scope link src ${host}`));
    // Deckies reach each other without the host.
    const reached = async (from: string, to: string) =>
      (await inside(decky(from).name, "nc", ["-z", "-w", "1", to, "6379"])).exitCode;
    expect(await reached("a", address(11))).toBe(0);
    expect(await reached("b", address(10))).not.toBe(0);
  });

  it("lets nobody inside reach the host's own ports through that interface", async () => {
    const server = createServer((socket) => socket.on("error", () => undefined).end()).listen(0, "0.0.0.0");
    await once(server, "listening");
    const bound = server.address();
    const port = String(typeof bound === "object" && bound !== null ? bound.port : 0);
    const reached = async () => (await inside(decky("a").name, "nc", ["-z", "-w", "2", host, port])).exitCode === 0;
    try {
      expect(await reached()).toBe(false);
      const { stdout } = await execa("nft", ["list", "tables"]);
      const own = await Promise.all(
        (stdout.match(/decnet-\S+/g) ?? []).map(async (table) => [
          table,
          // Those of others may go meanwhile.
          (await execa("nft", ["list", "table", "inet", table], { reject: false })).stdout,
        ]),
      );
      const name = await helperName();
      const [table = ""] = own.find(([, text = ""]) => text.includes(`"${name}"`)) ?? [];
      // It is the rule that keeps it away.
      await eventually(async () => {
        await execa("nft", ["delete", "element", "inet", table, "lans", `{ "${name}" }`], { reject: false });
        return reached();
      });
      await eventually(async () => !(await reached()));
      expect([await ping(address(10)), await ping(address(11))]).toEqual(["PONG", "PONG"]);
    } finally {
      server.close();
    }
  });

  it("carries live mutations like any other", async () => {
    const before = await containersOf(decky("a").name);
    const { operation } = await master.mutations.addService({ decky: decky("a"), service: "http" });
    expect(operation?.plan?.steps.map((step) => step.verb)).toEqual(["write-project", "create", "settle"]);
    expect((await execa("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", `http://${address(10)}/`])).stdout).toBe("200");
    await master.mutations.removeService({ decky: decky("a"), service: "http" });
    expect(await containersOf(decky("a").name)).toEqual(before);
    expect(await links()).toHaveLength(1);
  });

  it("gets its helper back when somebody removed it", async () => {
    const before = await containersOf(master.prefix);
    await ip("link", "del", await helperName());
    const repair = await eventually(async () =>
      (await master.operations.listOperations({ filter: `kind=repair,decky=${decky("a").name}` })).operations.find(({ plan }) =>
        plan?.text.includes("create-helper decnet_macvlan"),
      ),
    );
    expect(repair.plan?.text).toMatch(/add-route .*contain \S+ \(no rule keeps/s);
    await eventually(async () => (await ping(address(10))) === "PONG" && (await ping(address(11))) === "PONG");
    expect(await links()).toHaveLength(1);
    expect(await containersOf(master.prefix)).toEqual(before);
  });

  it("loses a route with its decky, and helper and network with the last one, by exact name (W-24)", async () => {
    // Neighbours whose names hold the names of ours.
    const longer = `${master.lan.name}-2`;
    await execa("docker", ["network", "create", longer]);
    const helper = await helperName();
    const decoy = `${master.prefix}m`;
    const [{ ifalias }] = JSON.parse(await ip("-json", "link", "show", "dev", helper)) as [{ ifalias: string }];
    await ip("link", "add", "name", decoy, "link", parent, "type", "macvlan", "mode", "bridge");
    await ip("link", "set", "dev", decoy, "alias", `${ifalias}-2`);
    try {
      const { operation } = await master.fleet.teardownDecky({ decky: decky("a") });
      expect(operation?.plan?.steps.map((step) => `${step.verb} ${step.target}`)).toEqual([
        `stop ${decky("a").name}-redis`,
        `remove ${decky("a").name}-redis`,
        `stop ${decky("a").name}`,
        `remove ${decky("a").name}`,
        `remove-route ${address(10)}`,
        `release-network ${master.lan.name}`,
        `remove-project ${decky("a").name}`,
      ]);
      expect(await ip("route", "show", "dev", helper)).not.toContain(address(10));
      expect(await ping(address(11))).toBe("PONG");
      expect((await networks()).sort()).toEqual([master.lan.name, longer]);
      await master.fleet.teardownFleet({});
      expect(await networks()).toEqual([longer]);
      expect((await links()).map((line) => line.split(" ")[1])).toEqual([`${decoy}@${parent}:`]);
    } finally {
      await ip("link", "del", decoy);
      await execa("docker", ["network", "rm", longer]);
    }
  });

  it("comes and goes with many deckies at once", async () => {
    for (let round = 0; round < 2; round += 1) {
      await deploy(LanDriver.MACVLAN, ["a", "b", "c", "d", "e", "f"]);
      expect(await links()).toHaveLength(1);
      expect(await Promise.all([10, 11, 12, 13, 14, 15].map((last) => ping(address(last))))).toEqual(Array(6).fill("PONG"));
      await master.fleet.teardownFleet({});
      expect(await links()).toEqual([]);
      expect(await networks()).toEqual([]);
    }
  });

  it("says what is wrong: no such interface, no such driver in the kernel, the host's own address", async () => {
    expect(await failureOf(deploy(LanDriver.MACVLAN, ["a"], { parent: "nosuch0" }))).toContain(
      "this host has no interface nosuch0 for macvlan",
    );
    const probe = await execa("ip", ["link", "add", "name", `${master.prefix}i`, "link", parent, "type", "ipvlan"], {
      reject: false,
    });
    if (probe.exitCode === 0) await ip("link", "del", `${master.prefix}i`);
    const answer = await failureOf(deploy(LanDriver.IPVLAN, ["a"]));
    if (probe.exitCode === 0) expect(answer).toBe("");
    else expect(answer).toContain("the kernel of this host has no ipvlan; choose another driver for the LAN");
    const lan = { ...master.lan, driver: LanDriver.MACVLAN, parent };
    const asked = { ...decky("a"), ip: host, services: [{ slug: "redis" }] };
    expect(await failureOf(master.fleet.applyFleet({ fleet: { lan, deckies: [asked] } }))).toContain(
      `wants ${host}, which this host, on ${parent} has`,
    );
    await master.fleet.teardownFleet({});
    expect([await networks(), await links(), [...(await containersOf(master.prefix)).keys()]]).toEqual([[], [], []]);
    expect((await master.operations.listOperations({ filter: "state=running" })).operations).toEqual([]);
  });
});
