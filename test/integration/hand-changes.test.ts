import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { DriftPolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { type Operation, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Inspection, traitsOf } from "@decnet/engine/observe/traits";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inspectionOf } from "../support/ask-engine.ts";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";

const deckies = { a: ["redis", "ssh"], b: ["redis"] };
const noticedMs = 10_000;
const repairedMs = 25_000;

interface Placed {
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { IPAddress: string; MacAddress: string }>> };
}

/** Whatever somebody does to a decky by hand is seen, said, and repaired. */
describe("after a change by hand", () => {
  let master: TestMaster;
  let decky: { name: string };
  let folder: string;
  let foreign: string;
  /** What a network must say of itself for deckies to be on it. */
  let ours: string[];

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    folder = join(master.config.dataDir, "deckies", decky.name);
    foreign = `${master.prefix}-foreign`;
    await execa("docker", ["network", "create", foreign]);
    await deploy(master, deckies);
    const [instance = ""] = await dockerLines(["inspect", "--format", '{{index .Config.Labels "decnet.instance"}}', decky.name]);
    ours = ["--label", `decnet.instance=${instance}`];
  }, 120_000);
  afterAll(async () => {
    await master.dispose();
    await execa("docker", ["network", "rm", foreign], { reject: false });
  });

  const docker = (...args: string[]) => execa("docker", args);
  const names = () => ({ base: decky.name, redis: `${decky.name}-redis`, ssh: `${decky.name}-ssh`, other: `${master.prefix}-b` });
  const repairs = async (of = decky.name) =>
    (await master.operations.listOperations({ filter: `decky=${of},kind=repair`, pageSize: 1_000 })).operations;
  const place = async (name: string) => {
    const { NetworkSettings: settings } = await inspectionOf<Placed>(name);
    return Object.entries(settings.Networks).map(([network, at]) => `${network} ${at.IPAddress} ${at.MacAddress}`)[0];
  };
  const shape = async (name: string) => traitsOf(await inspectionOf<Inspection>(name));
  const identity = async () => ({
    place: await place(names().base),
    interfaces: (await inside(names().base, "ip", ["-brief", "link", "show", "type", "veth"])).stdout.replaceAll(/@\S+/g, ""),
    key: (await inside(names().base, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout,
    shapes: await Promise.all([names().base, names().redis, names().ssh].map(shape)),
  });
  const isWell = async () => {
    const { decky: seen } = await master.fleet.getDecky({ decky });
    if (seen?.state !== DeckyState.RUNNING || seen.message !== "") return false;
    if ((await containersOf(names().base)).size !== seen.services.length + 1) return false;
    return (await inside(names().base, "redis-cli", ["ping"]).catch(() => undefined))?.stdout === "PONG";
  };
  /** All is well, and what was repaired before is no reason to wait: who applies something begins again. */
  const ready = async () => {
    await eventually(isWell, repairedMs);
    for (const name of [names().base, names().other]) {
      const { decky: seen } = await master.fleet.getDecky({ decky: { name } });
      await master.fleet.restoreRevision({ decky: { name }, revision: seen?.desiredRevision ?? 0 });
    }
    await eventually(isWell, repairedMs);
  };
  const applyFleet = (driftPolicy: DriftPolicy) =>
    master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        driftPolicy,
        deckies: Object.entries(deckies).map(([name, slugs]) => ({
          name: `${master.prefix}-${name}`,
          services: slugs.map((slug) => ({ slug })),
        })),
      },
    });
  /** What takes several commands is not disturbed in the middle. */
  const undisturbed = async (act: () => Promise<unknown>) => {
    await applyFleet(DriftPolicy.REPORT);
    await act();
    await applyFleet(DriftPolicy.REPAIR);
  };
  /**
   * Does something to decky a, and waits for its repair; returns all repairs that it took, the first one first. The cause is of
   * the whole change: a drift check in the middle of it would see another one, and its repair would be in the way of the rest.
   */
  const expectRepair = async (act: () => Promise<unknown>, cause: string) => {
    await ready();
    const before = await identity();
    const others = await containersOf(names().other);
    const known = new Set((await repairs()).map(({ id }) => id));
    await undisturbed(act);
    const fresh = async () => (await repairs()).filter(({ id }) => !known.has(id)).reverse();
    await eventually(async () => (await fresh()).some(({ plan }) => plan?.text.includes(cause)), noticedMs);
    await eventually(isWell, repairedMs);
    expect(await identity()).toEqual(before);
    expect(await containersOf(names().other)).toEqual(others);
    return fresh();
  };

  const inNamespace = (file: string, ...args: string[]) => inside(names().base, file, args);

  it.each<readonly [string, () => Promise<unknown>, string]>([
    [
      "a base that is disconnected from its LAN",
      () => docker("network", "disconnect", "-f", master.lan.name, names().base),
      "is not on the network",
    ],
    [
      "a base that is connected again at another address",
      async () => {
        await docker("network", "disconnect", "-f", master.lan.name, names().base);
        await docker("network", "connect", "--ip", master.lan.subnet.replace("0/24", "222"), master.lan.name, names().base);
      },
      "has the address",
    ],
    [
      "a base that is connected again at its address, without its MAC address",
      async () => {
        const [, address = ""] = (await place(names().base))?.split(" ") ?? [];
        await docker("network", "disconnect", "-f", master.lan.name, names().base);
        await docker("network", "connect", "--ip", address, master.lan.name, names().base);
      },
      "has the MAC address",
    ],
    [
      "a base whose MAC address was set in its namespace",
      () => inNamespace("ip", "link", "set", "dev", "eth0", "address", "02:00:00:00:00:09"),
      "has the MAC address 02:00:00:00:00:09",
    ],
    [
      "a base whose address was taken away in its namespace",
      () => inNamespace("ip", "address", "flush", "dev", "eth0"),
      "does not have its address",
    ],
    ["a base whose interface was set down", () => inNamespace("ip", "link", "set", "dev", "eth0", "down"), "eth0 down"],
  ])("%s is put back", async (_, act, cause) => {
    await expectRepair(act, cause);
  });

  it("a base that is connected to a foreign network leaves it, and nothing restarts", async () => {
    await ready();
    const before = await containersOf(names().base);
    await expectRepair(() => docker("network", "connect", foreign, names().base), "leave-network");
    expect(await containersOf(names().base)).toEqual(before);
  });

  it.each<readonly [string, () => Promise<unknown>]>([
    ["a service", () => docker("rename", names().redis, `${names().redis}-x`)],
    ["the base", () => docker("rename", names().base, `${names().base}-x`)],
    [
      "two containers that swapped their names",
      async () => {
        await docker("rename", names().redis, `${names().base}-between`);
        await docker("rename", names().ssh, names().redis);
        await docker("rename", `${names().base}-between`, names().ssh);
      },
    ],
    [
      "a base and a service that swapped their names",
      async () => {
        await docker("rename", names().base, `${names().base}-between`);
        await docker("rename", names().ssh, names().base);
        await docker("rename", `${names().base}-between`, names().ssh);
      },
    ],
  ])("%s: names are given back, and nothing restarts", async (_, act) => {
    await ready();
    const before = await containersOf(names().base);
    const made = await expectRepair(act, "rename");
    expect(await containersOf(names().base)).toEqual(before);
    expect(made.every(({ receipt }) => receipt?.othersUnchanged)).toBe(true);
  });

  it("containers of two deckies that swapped their names have them back", async () => {
    await ready();
    const all = () => containersOf(`${master.prefix}-`);
    const before = await all();
    await docker("rename", names().redis, `${master.prefix}-between`);
    await docker("rename", `${names().other}-redis`, names().redis);
    await docker("rename", `${master.prefix}-between`, `${names().other}-redis`);
    await eventually(async () => (await repairs()).length + (await repairs(names().other)).length > 0, noticedMs);
    await eventually(async () => JSON.stringify([...(await all())].sort()) === JSON.stringify([...before].sort()), repairedMs);
    await eventually(isWell, repairedMs);
  });

  describe("of what a container is", () => {
    type Service = Record<string, unknown> & { environment: Record<string, string>; volumes: unknown[]; cap_add: string[] };
    /** Edits our own file and makes the container from it, as somebody at a terminal would; the file is put back. */
    const makeFrom = async (edit: (service: Service) => unknown, extra: readonly string[] = []) => {
      const file = join(folder, "compose.yaml");
      const ours = await readFile(file, "utf8");
      const edited = JSON.parse(ours) as { services: Record<string, Service> };
      edit(edited.services[names().redis] ?? expect.fail("there is no such service"));
      const own = join(master.config.dataDir, "edited.yaml");
      await writeFile(own, JSON.stringify(edited));
      await docker("compose", "-f", own, "up", "-d", "--no-deps", ...extra, names().redis);
    };

    it.each<readonly [string, (service: Service) => unknown, string]>([
      ["its environment", (service) => Object.assign(service.environment, { MAXMEMORY_MB: "7" }), "environment"],
      ["a mount", (service) => service.volumes.push({ type: "tmpfs", target: "/mnt" }), "mounts"],
      ["a capability", (service) => Object.assign(service, { cap_add: ["NET_RAW"] }), "capabilities"],
      ["its command", (service) => Object.assign(service, { command: ["redis-server", "--save", ""] }), "command"],
      ["its user", (service) => Object.assign(service, { user: "0" }), "user"],
      ["its limits", (service) => Object.assign(service, { pids_limit: 63 }), "limits"],
      ["its restart policy", (service) => Object.assign(service, { restart: "no" }), "restart policy"],
      ["its privileges", (service) => Object.assign(service, { privileged: true }), "privileges"],
      ["its root file system", (service) => Object.assign(service, { read_only: false }), "mounts"],
      ["its image", (service) => Object.assign(service, { image: debianBase }), "image"],
    ])("%s: it is made again as it was", async (_, edit, part) => {
      await expectRepair(() => makeFrom(edit), `is not what was made here: other`).then((found) => {
        expect(found.map(({ plan }) => plan?.text).join("\n")).toMatch(new RegExp(`other [a-z, ]*${part}`));
      });
    });

    it.each<readonly [string, string[], string]>([
      ["limits", ["--memory", "100m", "--memory-swap", "200m"], "limits"],
      ["restart policy", ["--restart", "no"], "restart policy"],
    ])("its %s, while it runs", async (_, act, part) => {
      await expectRepair(() => docker("update", ...act, names().redis), `is not what was made here: other ${part}`);
    });

    it("without compose, under the same labels: it is replaced, though compose does not know it", async () => {
      const format = '{{range $key, $value := .Config.Labels}}{{$key}}={{$value}}{{"\\n"}}{{end}}';
      const labels = (await dockerLines(["inspect", "--format", format, names().redis])).filter((line) =>
        line.startsWith("decnet."),
      );
      const act = async () => {
        await docker("rm", "-f", names().redis);
        const flags = labels.flatMap((each) => ["--label", each]);
        await docker(
          "run",
          "-d",
          "--name",
          names().redis,
          "--network",
          `container:${names().base}`,
          ...flags,
          debianBase,
          "sleep",
          "600",
        );
      };
      await expectRepair(act, "is not what was made here");
    });

    it("a copy of it beside it: the copy goes", async () => {
      const before = await containersOf(names().base);
      const act = () =>
        docker("compose", "-f", join(folder, "compose.yaml"), "run", "-d", "--no-deps", names().redis, "sleep", "600");
      await expectRepair(act, "one too many");
      expect(await containersOf(names().base)).toEqual(before);
    });

    it("made again from our own file by hand is nothing to repair", async () => {
      await ready();
      const known = (await repairs()).length;
      await docker("compose", "-f", join(folder, "compose.yaml"), "up", "-d", "--no-deps", "--force-recreate", names().redis);
      const from = (await master.fleet.getDecky({ decky })).decky?.observedAt?.seconds ?? 0n;
      await eventually(async () => ((await master.fleet.getDecky({ decky })).decky?.observedAt?.seconds ?? 0n) > from + 3n);
      await eventually(isWell, repairedMs);
      const plans = (await repairs()).slice(0, (await repairs()).length - known).map(({ plan }) => plan?.text ?? "");
      expect(plans.filter((text) => text.includes("is not what was made here"))).toEqual([]);
    });
  });

  describe("of the project's files", () => {
    const file = () => join(folder, "compose.yaml");
    const secret = async () => {
      const { stdout } = await execa("find", [join(folder, "secrets"), "-name", "password"]);
      return stdout.split("\n")[0] ?? "";
    };
    const facts = async () => {
      const { stdout } = await execa("find", [folder, "-printf", "%P %m %U %y\n"]);
      const compose = await readFile(file(), "utf8");
      const password = await readFile(await secret(), "utf8");
      return [...stdout.split("\n").sort(), compose, password].join("\n");
    };

    it.each<readonly [string, () => Promise<unknown>]>([
      ["edited", async () => writeFile(file(), (await readFile(file(), "utf8")).replace("65532", "1"))],
      ["with one more byte", async () => writeFile(file(), `${await readFile(file(), "utf8")}\n`)],
      ["deleted", () => rm(file())],
      ["readable by everybody", () => chmod(file(), 0o644)],
      ["replaced by a folder", async () => rm(file()).then(() => mkdir(file()))],
      ["with an override beside it", () => writeFile(join(folder, "compose.override.yaml"), "services: {}\n")],
      ["with a secret that is edited in place", async () => writeFile(await secret(), "hunter2")],
      ["with a secret that is gone", async () => rm(await secret())],
      ["without its folder", () => rm(folder, { recursive: true })],
      ["with another folder of secrets", () => mkdir(join(folder, "secrets", "ssh-old"))],
      ["moved away", () => rename(folder, `${folder}-away`)],
    ])("%s: they are as they were within ten seconds, and nothing restarts", async (_, act) => {
      await ready();
      const [before, containers] = [await facts(), await containersOf(names().base)];
      await act();
      await eventually(async () => (await facts().catch(() => "")) === before, noticedMs);
      await eventually(isWell, repairedMs);
      expect(await containersOf(names().base)).toEqual(containers);
      expect((await stat(file())).mode & 0o777).toBe(0o600);
    });
  });

  describe("of what it refers to", () => {
    const ids = () => [names().base, names().redis, names().ssh, names().other, `${names().other}-redis`];
    const stopAll = () => docker("stop", "-t", "1", ...ids());
    const networkAgain = async () => {
      await docker("network", "rm", master.lan.name);
      await docker("network", "create", ...ours, "--subnet", master.lan.subnet, master.lan.name);
    };
    const expectSuccess = async (call: Promise<{ operation?: Operation | undefined }>) => {
      const { operation } = await call;
      expect([operation?.state, operation?.error?.message]).toEqual([OperationState.SUCCEEDED, undefined]);
    };
    const areAllThere = async () => (await containersOf(names().base)).size + (await containersOf(names().other)).size === 5;
    const setMemory = (megabytes: number) =>
      master.mutations.updateServiceConfig({ decky, service: "redis", config: { maxmemory_mb: megabytes }, apply: true });

    it.each<readonly [string, () => Promise<unknown>]>([
      ["removed and made again", networkAgain],
      ["removed", () => docker("network", "rm", master.lan.name)],
    ])("a network that was %s while all were stopped is joined again by a repair", async (_, act) => {
      const all = async () => {
        await stopAll();
        await act();
      };
      await ready();
      const before = await identity();
      await undisturbed(all);
      await eventually(isWell, repairedMs);
      expect(await identity()).toEqual(before);
      await eventually(areAllThere, repairedMs);
    });

    it.each<readonly [string, () => Promise<unknown>]>([
      ["a change of a service", () => expectSuccess(setMemory(32))],
      ["a restore", async () => expectSuccess(master.fleet.restoreRevision({ decky, revision: 1 }))],
      ["one service more", async () => expectSuccess(master.mutations.addService({ decky, service: "http" }))],
      ["one service less", async () => expectSuccess(master.mutations.removeService({ decky, service: "redis" }))],
    ])("a network that was made again is no hindrance to %s", async (_, change) => {
      await ready();
      await applyFleet(DriftPolicy.REPORT);
      await stopAll();
      await networkAgain();
      await change();
      await applyFleet(DriftPolicy.REPAIR);
      await eventually(isWell, repairedMs);
    });

    it("a base that is gone with its network, its image tag and a volume", async () => {
      await ready();
      const { key: _, ...before } = await identity();
      const image = (await dockerLines(["inspect", "--format", "{{.Config.Image}}", names().ssh]))[0] ?? "";
      await undisturbed(async () => {
        await docker("rm", "-f", ...ids());
        await docker("network", "rm", master.lan.name);
        await docker("volume", "rm", `decnet_${decky.name}_ssh_keys`);
        // Another test may be using it.
        await execa("docker", ["rmi", image], { reject: false });
      });
      await eventually(isWell, 60_000);
      const { key: __, ...after } = await identity();
      expect(after.place).toBe(before.place);
      await eventually(areAllThere, repairedMs);
    });

    it("a network of another subnet under the same name is said, with what to do, and nothing is torn down for it", async () => {
      await ready();
      await applyFleet(DriftPolicy.REPORT);
      await stopAll();
      await docker("network", "rm", master.lan.name);
      await docker("network", "create", ...ours, master.lan.name);
      await expect(setMemory(48)).rejects.toThrow(`docker network rm ${master.lan.name}, or choose another name`);
      await docker("network", "rm", master.lan.name);
      await docker("network", "create", "--subnet", master.lan.subnet, master.lan.name);
      await expect(setMemory(48)).rejects.toThrow(/was made by somebody else; .* docker network rm/);
      await docker("network", "rm", master.lan.name);
      await applyFleet(DriftPolicy.REPAIR);
      await expectSuccess(setMemory(48));
      await eventually(isWell, repairedMs);
    });
  });
});
