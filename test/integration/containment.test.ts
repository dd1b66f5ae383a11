import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useOutsider } from "../support/outsider.ts";
import { deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

const nft = (...args: string[]) => execa("nft", args, { reject: false });
const tables = async () => (await nft("list", "tables")).stdout.split("\n");

describe("whoever is inside a decky of a bridge LAN", () => {
  let master: TestMaster;
  let decky: { name: string };
  let neighbour: string;
  let table: string;
  let server: Server;
  let datagrams: Socket;
  let heard: string[];
  let port: number;
  const theirs = () => `${master.prefix}_theirs`;
  const path = process.env["PATH"];

  const networkId = async () => (await dockerLines(["network", "inspect", "--format", "{{.Id}}", master.lan.name]))[0] ?? "";
  const bridge = async () => `br-${(await networkId()).slice(0, 12)}`;
  const connects = async (address: string, to: number) =>
    (await inside(decky.name, "nc", ["-z", "-w", "2", address, String(to)])).exitCode === 0;
  const seen = async () => (await master.fleet.getDecky({ decky })).decky;
  const isRunning = async () => (await seen())?.state === DeckyState.RUNNING;
  const repairs = async () => (await master.operations.listOperations({ filter: "kind=repair" })).operations;
  const address = async (name: string) =>
    (await dockerLines(["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name]))[0] ?? "";
  const gateway = () => master.lan.subnet.replace("0/24", "1");

  beforeAll(async () => {
    server = createServer((socket) => socket.on("error", () => undefined).end("host\n")).listen(0, "::");
    await once(server, "listening");
    const bound = server.address();
    port = typeof bound === "object" && bound !== null ? bound.port : 0;
    heard = [];
    datagrams = createSocket("udp4", (message) => heard.push(String(message))).bind(port);
    await once(datagrams, "listening");
    master = await useMaster({ env: { DECNET_TLS_HOST: "0.0.0.0", DECNET_TLS_PORT: "0" } });
    await nft("add", "table", "inet", theirs());
    decky = { name: `${master.prefix}-a` };
    neighbour = `${master.prefix}-b`;
    await deploy(master, { a: ["redis"], b: ["redis"] });
    const [network = ""] = await dockerLines(["network", "ls", "-q", "--filter", `name=^${master.lan.name}$`]);
    // Other masters on this engine have tables of their own, which come and go.
    const own = (await tables()).filter((line) => line.startsWith("table inet decnet-")).map((line) => line.split(" ")[2] ?? "");
    for (const name of own) if ((await nft("list", "table", "inet", name)).stdout.includes(`"br-${network}"`)) table = name;
    expect([network === "", table]).toEqual([false, expect.stringContaining("decnet-")]);
  });
  afterAll(async () => {
    process.env["PATH"] = path;
    await nft("delete", "table", "inet", theirs());
    server.close();
    datagrams.close();
    await master.dispose();
  });

  it("has a plan that says so, before anything starts on the LAN", async () => {
    const { operations } = await master.operations.listOperations({ pageSize: 100 });
    const texts = operations.map(({ plan }) => plan?.text ?? "").filter((text) => text.includes(" contain "));
    expect(texts.length).toBeGreaterThan(0);
    for (const text of texts)
      expect(text).toMatch(/create-network .*contain \S+ \(nothing keeps deckies from the ports of this host\).* create /s);
  });

  it("reaches no port of the host, the master's among them, by no address of the host, nor by its link-local one", async () => {
    const own = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).filter((each) => !each.internal));
    const ipv4 = own.filter(({ family }) => family === "IPv4").map((each) => each.address);
    expect(ipv4).toContain(gateway());
    for (const each of ipv4) expect([each, await connects(each, port)]).toEqual([each, false]);
    expect(await connects(gateway(), master.tlsPort ?? 0)).toBe(false);

    const on = await bridge();
    const enable = "echo 0 > /proc/sys/net/ipv6/conf/";
    await execa("sh", ["-c", `${enable}${on}/disable_ipv6; ip -6 address replace fe80::d/64 dev ${on} nodad`]);
    await inside(decky.name, "sh", ["-c", `${enable}eth0/disable_ipv6; ip -6 address replace fe80::e/64 dev eth0 nodad`]);
    const viaLinkLocal = () => connects("fe80::d%eth0", port);
    expect(await viaLinkLocal()).toBe(false);
    // It is the rule that keeps it away: the host answers a neighbour on its link.
    expect((await execa("nc", ["-z", "-w", "2", `fe80::e%${on}`, "6379"], { reject: false })).exitCode).toBe(0);
    await inside(decky.name, "sh", [
      "-c",
      `echo datagram | nc -u -w 1 ${gateway()} ${port}; echo all | nc -u -b -w 1 255.255.255.255 ${port}`,
    ]);
    expect(heard).toEqual([]);
  });

  it("is refused at once, as by a machine where nobody listens", async () => {
    const began = performance.now();
    const { stderr } = await inside(decky.name, "nc", ["-z", "-v", "-w", "5", gateway(), String(port)]);
    expect(stderr).toContain("Connection refused");
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  it("answers the host and the other deckies as before", async () => {
    const ping = ["-h", await address(decky.name), "ping"];
    expect((await execa("redis-cli", ping)).stdout).toBe("PONG");
    expect((await inside(neighbour, "redis-cli", ping)).stdout).toBe("PONG");
  });

  it.each<[string, () => string[][], RegExp]>([
    ["was deleted", () => [["delete", "table", "inet", table]], /nothing keeps deckies from the ports of this host/],
    ["was flushed", () => [["flush", "table", "inet", table]], /were changed/],
    ["lets everybody pass first", () => [["insert", "rule", "inet", table, "contained", "accept"]], /were changed/],
    [
      "lost the LAN's interface",
      () => [["flush", "set", "inet", table, "lans"]],
      /no rule keeps the deckies of this LAN from the ports of this host/,
    ],
    ["sleeps", () => [["add", "table", "inet", table, "{ flags dormant; }"]], /were changed/],
  ])("gets no further for long when the rule %s: it is noticed with its cause, and repaired", async (_, harm, cause) => {
    await eventually(isRunning);
    const known = new Set((await repairs()).map(({ id }) => id));
    // Each harm opens the way until the next drift check.
    await eventually(async () => {
      for (const args of harm()) await nft(...args);
      return connects(gateway(), port);
    });
    const repair = await eventually(async () => (await repairs()).find(({ id }) => !known.has(id)));
    expect(repair.plan?.text).toMatch(/^1 contain /);
    expect(repair.plan?.text).toMatch(cause);
    await eventually(async () => !(await connects(gateway(), port)));
    expect(await tables()).toContain(`table inet ${theirs()}`);
  });

  it("is not let in where the host has no nft: what runs says so, and nothing is started", async () => {
    await eventually(isRunning);
    const id = await dockerLines(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", decky.name]);
    process.env["PATH"] = (path ?? "")
      .split(":")
      .filter((folder) => !folder.endsWith("sbin"))
      .join(":");
    const said = await eventually(async () => {
      const now = await seen();
      return now?.state === DeckyState.DEGRADED && now;
    });
    // What was seen last of the rules inside it may be known for a moment more.
    expect(said.message).toMatch(
      /^not (contained|guarded): .* nft, .* is not on this host: install it \(apt-get install nftables\)/,
    );
    await eventually(async () => (await seen())?.warnings.includes("not_contained"));
    await eventually(async () => {
      const ready = (await (await fetch(`http://127.0.0.1:${master.port}/readyz`)).json()) as { containment: string };
      return ready.containment === "not contained";
    });
    const deckies = [decky.name, neighbour, `${master.prefix}-c`].map((name) => ({ name, services: [{ slug: "redis" }] }));
    const refused = await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } }).then(
      () => "",
      (error: unknown) => fromConnectError(error).message,
    );
    expect(refused).toContain("install it (apt-get install nftables)");
    expect(await dockerLines(["ps", "-aq", "--filter", `name=^/${master.prefix}-c`])).toEqual([]);
    expect(await dockerLines(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", decky.name])).toEqual(id);
    process.env["PATH"] = path;
    await eventually(isRunning);
  });

  it("leaves no rule behind when the LAN goes with its last decky, and nobody else's table is touched", async () => {
    await master.fleet.teardownFleet({});
    expect((await nft("list", "table", "inet", table)).exitCode).not.toBe(0);
    expect(await tables()).toContain(`table inet ${theirs()}`);
  });
});

describe("whoever is inside a decky of a worker", () => {
  let swarm: Swarm;
  let worker: Worker;
  let name: string;
  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"] });
    worker = swarm.workers[0] ?? expect.fail("no worker");
    name = `${swarm.master.prefix}-a`;
    await swarm.master.fleet.applyFleet({
      fleet: {
        lan: swarm.master.lan,
        deckies: [{ name, services: [{ slug: "redis" }], placement: { where: { case: "host", value: worker.name } } }],
      },
    });
  });
  afterAll(() => swarm?.dispose());

  it("is reached by whoever has a route to the fleet's LAN, where its host forwards", async () => {
    const outsider = await useOutsider(swarm.lab);
    const { lan } = swarm.master;
    await worker.host.run("iptables", ["-P", "FORWARD", "ACCEPT"]);
    await outsider.run("ip", "route", "add", lan.subnet, "via", worker.host.address);
    const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    const [address = ""] = await worker.host.docker(["inspect", "--format", format, name]);
    expect(await outsider.greetingOf(address, 6379, "PING\r\n")).toBe("+PONG");
    await outsider.dispose();
  });

  it("does not reach that host's ports, also after its engine was started again", async () => {
    const { host } = worker;
    const listener = host.spawn("node", [
      "-e",
      "require('net').createServer((s) => s.end()).listen(9000, () => console.log('up'))",
    ]);
    await once(listener.stdout, "data");
    const gateway = swarm.master.lan.subnet.replace("0/24", "1");
    const attack = async () => {
      const [pid = ""] = await host.docker(["inspect", "--format", "{{.State.Pid}}", name]);
      const by = async (address: string) =>
        (await execa("nsenter", ["-t", pid, "-n", "nc", "-z", "-w", "2", address, "9000"], { reject: false })).exitCode === 0;
      return [await by(gateway), await by(host.address)];
    };
    expect(await attack()).toEqual([false, false]);
    await host.restartEngine("SIGTERM");
    await eventually(async () => (await host.docker(["ps", "-q", "--filter", `name=^/${name}$`])).length === 1);
    expect(await attack()).toEqual([false, false]);
    expect((await host.run("nft", ["list", "tables"])).stdout).toMatch(/table inet decnet-/);
    // Without the rule it would be reached by its address among the decky's neighbours; the other one is none of them.
    await eventually(async () => {
      await host.run("nft", ["flush", "ruleset"]);
      return (await attack())[0];
    });
    await eventually(async () => (await attack()).every((reached) => !reached));
  });
});
