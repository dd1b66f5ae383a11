import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Outside, useOutside } from "../support/use-outside.ts";

/**
 * DMZ ── gateway ── office ── bridge ── vault, with a decky on each; the bridge does not forward at first. The attacker is a
 * machine of its own, outside of the host.
 */
describe("a topology with a machine outside", () => {
  let master: TestMaster;
  let outside: Outside;
  let topology: string;
  let id: string;
  const addresses = new Map<string, string>();
  const container = (name: string) => `${id}-${name}`;
  const at = (place: string) => addresses.get(place) ?? expect.fail(`no place ${place}`);

  /** Whether redis answers to somebody inside a decky. */
  const asks = async (from: string, place: string) =>
    (await inside(container(from), "nc", ["-z", "-w", "1", at(place), "6379"])).exitCode === 0;
  const routes = async (of: string) => {
    const { stdout } = await inside(container(of), "ip", ["route", "show"]);
    return stdout.split("\n").filter((line) => line.includes(" via "));
  };
  const repairOf = (name: string | undefined, cause: string) =>
    eventually(async () => {
      const { operations } = await master.operations.listOperations({ filter: "kind=repair", pageSize: 100 });
      return operations.find(
        ({ decky, plan, state }) =>
          (name === undefined || decky?.name === name) &&
          state === OperationState.SUCCEEDED &&
          plan?.text.includes(cause) === true,
      );
    }, 30_000);
  const subnet = (lan: string) => at(`gateway/${lan}`).replace(/\d+$/, "0/24");
  const deniedBy = async (name: string) => {
    const { topology: seen } = await master.topologies.getTopology({ topology });
    return seen?.deckies.find((each) => each.name === name)?.decky?.deniedPackets ?? 0;
  };
  const bridges = async () =>
    (await dockerLines(["network", "ls", "-q", "--filter", `name=^decnet-${id}-`])).map((network) => `br-${network}`);
  async function removeAdmissions() {
    const { stdout } = await execa("iptables", ["-S", "DOCKER-USER"]);
    const own = await bridges();
    const rules = stdout
      .split("\n")
      .filter((line) => own.some((bridge) => line.includes(`-i ${bridge} -o ${bridge} -m physdev`)));
    expect(rules).not.toEqual([]);
    for (const rule of rules) await execa("sh", ["-c", `iptables ${rule.replace("-A", "-D")}`]);
  }
  const verbsOf = async (ids: readonly string[]) => {
    const parts = await Promise.all(ids.map((each) => master.operations.getOperation({ id: each })));
    return parts.flatMap(({ operation }) => operation?.plan?.steps ?? []).map(({ verb }) => verb);
  };
  const setForwards = (forwards: boolean) => master.topologies.updateDecky({ topology, name: "bridge", forwards });

  beforeAll(async () => {
    master = await useMaster();
    outside = await useOutside(`${master.prefix}-out`);
    topology = `${master.prefix}-corp`;
    const { topologies } = master;
    const made = await topologies.createTopology({ name: topology, publishOn: outside.hostAddress });
    id = made.topology?.id ?? expect.fail("no topology");
    const second = 80 + Math.floor(Math.random() * 100);
    for (const [third, name] of ["dmz", "office", "vault"].entries())
      await topologies.addLan({ topology, name, isDmz: name === "dmz", subnet: `10.${second}.${third}.0/24` });
    const add = (name: string, lans: string[], forwards = false, services = ["redis"]) =>
      topologies.addDecky({
        ...{ topology, name, forwards },
        services: services.map((slug) => ({ slug })),
        attachments: lans.map((lan) => ({ lan })),
      });
    await add("gateway", ["dmz", "office"], true, ["ssh", "redis"]);
    await add("front", ["dmz"]);
    await add("desk", ["office"]);
    await add("bridge", ["office", "vault"]);
    await add("inner", ["vault"]);
    const { topology: live } = await topologies.deployTopology({ topology });
    for (const { name, attachments } of live?.deckies ?? [])
      for (const { lan, ip } of attachments) addresses.set(`${name}/${lan}`, ip);
  });
  afterAll(async () => {
    await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
    await master?.dispose();
    await outside?.dispose();
  });

  it("answers outside on the published ports of its gateway, whose log names the visitor", async () => {
    const { stdout } = await outside.run("nc", "-w", "2", outside.hostAddress, "22");
    expect(stdout).toContain("SSH-2.0");
    const log = await eventually(async () => {
      const { stdout: out, stderr } = await execa("docker", ["logs", `${container("gateway")}-ssh`]);
      return `${out}${stderr}`.includes(outside.address) && `${out}${stderr}`;
    });
    expect(log).toContain(outside.address);
  });

  it("answers outside on no address of a decky, its DMZ's among them, whatever the host forwards for others", async () => {
    const tried = [...addresses].map(async ([place, address]) => [place, await outside.reaches(address, 6379)]);
    expect(await Promise.all(tried)).toEqual([...addresses.keys()].map((place) => [place, false]));
  });

  it("gives every decky the ways that there are, and no others", async () => {
    expect(await routes("front")).toEqual([expect.stringContaining("default via"), expect.stringContaining(at("gateway/dmz"))]);
    expect(await routes("desk")).toEqual([expect.stringContaining(`via ${at("gateway/office")}`)]);
    expect(await routes("inner")).toEqual([]);
  });

  it("routes where a decky forwards, and nowhere else", async () => {
    expect(await asks("front", "desk/office")).toBe(true);
    expect(await asks("desk", "front/dmz")).toBe(true);
    expect(await asks("desk", "bridge/office")).toBe(true);
    expect(await asks("front", "inner/vault")).toBe(false);
    expect(await asks("desk", "inner/vault")).toBe(false);
    expect(await asks("bridge", "inner/vault")).toBe(true);
  });

  it("leads from a shell on the gateway to the LAN behind it", async () => {
    const ask = `exec 3<>/dev/tcp/${at("desk/office")}/6379 && echo through`;
    const { stdout } = await execa("docker", ["exec", `${container("gateway")}-ssh`, "bash", "-c", ask], { timeout: 10_000 });
    expect(stdout).toBe("through");
  });

  it("forwards as soon as it is said to, and not any more when it is not, while everything runs on", async () => {
    const before = await containersOf(id);
    const { operation } = await setForwards(true);
    expect([...new Set(await verbsOf(operation?.children ?? []))].sort()).toEqual(["admit", "guard"]);
    expect(await asks("front", "inner/vault")).toBe(true);
    expect(await asks("inner", "front/dmz")).toBe(true);
    await setForwards(false);
    expect(await asks("front", "inner/vault")).toBe(false);
    expect(await asks("inner", "front/dmz")).toBe(false);
    expect(await routes("inner")).toEqual([]);
    expect(await containersOf(id)).toEqual(before);
  });

  it("lets nothing out that begins inside, also when somebody opens one decky: the gateway passes it on to nobody", async () => {
    const heard = await outside.heard();
    const denied = await deniedBy("gateway");
    const call = `nc -z -w 1 ${outside.address} 8080`;
    await inside(container("desk"), "sh", [
      "-c",
      `nft delete table inet decnet-guard; ip route replace default via ${at("gateway/office")}; ${call}`,
    ]);
    await inside(container("gateway"), "sh", ["-c", call]);
    expect(await outside.heard()).toBe(heard);
    await eventually(async () => (await deniedBy("gateway")) > denied + 1);
    await repairOf("desk", "nothing keeps it from calling out; a route that is not its own to 0.0.0.0/0");
    expect(await routes("desk")).toEqual([expect.stringContaining(`via ${at("gateway/office")}`)]);
  });

  it("notices what was changed by hand, says what it was, and puts it right, while everything runs on", async () => {
    const before = await containersOf(id);
    const removals: readonly (readonly [() => Promise<unknown>, name: string | undefined, cause: string])[] = [
      [() => inside(container("front"), "nft", ["flush", "chain", "inet", "decnet-guard", "output"]), "front", "were changed"],
      [() => inside(container("desk"), "ip", ["route", "del", subnet("dmz")]), "desk", "no route to"],
      [() => inside(container("bridge"), "sh", ["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]), "bridge", "it forwards, and"],
      [removeAdmissions, undefined, "the engine drops what deckies route into this LAN"],
    ];
    for (const [remove] of removals) await remove();
    await Promise.all(removals.map(([, name, cause]) => repairOf(name, cause)));
    expect(await asks("front", "desk/office")).toBe(true);
    expect(await asks("desk", "inner/vault")).toBe(false);
    expect(await containersOf(id)).toEqual(before);
  });

  it("is as it was after the base of its gateway was started again", async () => {
    await execa("docker", ["restart", "-t", "0", container("gateway")]);
    await repairOf("gateway", "nothing keeps it from calling out");
    await eventually(() => asks("front", "desk/office"));
    expect(await asks("desk", "inner/vault")).toBe(false);
    expect(await outside.reaches(outside.hostAddress, 22)).toBe(true);
  });

  it("leaves nothing on the host", async () => {
    const own = await bridges();
    const rules = async () => (await execa("iptables", ["-S", "DOCKER-USER"])).stdout;
    const laid = await rules();
    expect(own.filter((bridge) => laid.includes(bridge))).toHaveLength(1);
    await master.topologies.teardownTopology({ topology });
    const left = await rules();
    expect(own.filter((bridge) => left.includes(bridge))).toEqual([]);
    expect(left).not.toContain(outside.hostAddress);
  });
});
