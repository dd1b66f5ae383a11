import { rm } from "node:fs/promises";
import { join } from "node:path";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testCatalog } from "../support/catalogs.ts";
import { useOwnCatalog } from "../support/own-catalog.ts";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a service of a live decky", () => {
  let master: TestMaster;
  let own: Awaited<ReturnType<typeof useOwnCatalog>>;
  let decky: { name: string };
  let other: string;

  beforeAll(async () => {
    own = await useOwnCatalog(7005);
    master = await useMaster({ env: { DECNET_CATALOGUE: `${testCatalog}:${own.folder}` } });
    decky = { name: `${master.prefix}-a` };
    other = `${master.prefix}-b`;
    await deploy(master, { a: ["redis"], b: ["redis"] });
  });
  afterAll(async () => {
    await master.dispose();
    await own.dispose();
  });

  const seen = async () => (await master.fleet.getDecky({ decky })).decky;
  /** What a service says to a client on the decky's LAN: the other decky. */
  const hear = async (port: number) => {
    const address = (await seen())?.addresses[0]?.ip ?? "";
    return (await inside(other, "bash", ["-c", `exec 3<>/dev/tcp/${address}/${port} && head -c 5 <&3`])).stdout;
  };
  const baseOf = async () => (await containersOf(decky.name)).get(decky.name);

  it("is reachable at once when it was added, and nothing after that recreates the base (W-22)", async () => {
    const base = await baseOf();
    await master.mutations.addService({ decky, service: "ftp" });
    expect(await hear(21)).toMatch(/^220/);
    expect(await baseOf()).toBe(base);
    // Neither a change of another service, nor the same fleet again, nor what an operator types by hand.
    await master.mutations.updateServiceConfig({ decky, service: "redis", config: { maxmemory_mb: 16 }, apply: true });
    const { operation } = await master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: [
          { name: decky.name, services: [{ slug: "redis", config: { maxmemory_mb: 16 } }, { slug: "ftp" }] },
          { name: other, services: [{ slug: "redis" }] },
        ],
      },
    });
    expect(operation?.children).toEqual([]);
    const before = await containersOf(decky.name);
    const compose = join(master.config.dataDir, "deckies", decky.name, "compose.yaml");
    await execa("docker", ["compose", "-f", compose, "up", "-d"]);
    expect(await containersOf(decky.name)).toEqual(before);
    expect(await baseOf()).toBe(base);
  });

  it("can come from a folder of the operator's own, through the API and after a restart of the master (W-23)", async () => {
    await master.mutations.addService({ decky, service: own.slug, config: { greeting: "first" } });
    expect(await hear(7005)).toBe("first");
    const before = await containersOf(decky.name);
    await master.restart();
    const looked = (await seen())?.observedAt?.seconds ?? 0n;
    const after = await eventually(async () => {
      const found = await seen();
      return (found?.observedAt?.seconds ?? 0n) > looked ? found : undefined;
    });
    expect(after.state).toBe(DeckyState.RUNNING);
    expect(await containersOf(decky.name)).toEqual(before);
    await master.mutations.updateServiceConfig({ decky, service: own.slug, config: { greeting: "again" }, apply: true });
    expect(await hear(7005)).toBe("again");
    await master.mutations.removeService({ decky, service: own.slug });
    expect([...(await containersOf(decky.name)).keys()]).not.toContain(`${decky.name}-${own.slug}`);
  });

  it("is running when its name has an underscore (W-27)", async () => {
    await master.mutations.addService({ decky, service: "odd_name" });
    expect((await seen())?.services.find((service) => service.slug === "odd_name")?.state).toBe(ServiceState.RUNNING);
    expect((await seen())?.state).toBe(DeckyState.RUNNING);
    expect([...(await containersOf(decky.name)).keys()]).toContain(`${decky.name}-odd_name`);
    await master.mutations.removeService({ decky, service: "odd_name" });
    expect([...(await containersOf(decky.name)).keys()]).not.toContain(`${decky.name}-odd_name`);
  });

  it("can be removed whatever is left of it, and added again (W-11)", async () => {
    const project = join(master.config.dataDir, "deckies", decky.name);
    const container = `${decky.name}-http`;
    const losses: [string, () => Promise<unknown>][] = [
      ["the project folder", () => rm(project, { recursive: true })],
      ["the compose file", () => rm(join(project, "compose.yaml"))],
      ["the container", () => execa("docker", ["rm", "-f", container])],
      ["both", () => Promise.all([rm(project, { recursive: true }), execa("docker", ["rm", "-f", container])])],
    ];
    for (const [what, lose] of losses) {
      await master.mutations.addService({ decky, service: "http" });
      await lose();
      const { operation } = await master.mutations.removeService({ decky, service: "http" });
      expect([what, operation?.state]).toEqual([what, OperationState.SUCCEEDED]);
      expect(await dockerLines(["ps", "-aq", "--filter", `name=^/${container}$`])).toEqual([]);
      expect((await seen())?.services.map((service) => service.slug)).not.toContain("http");
    }
    // An add that failed leaves nothing that a remove or a second add could stumble over.
    await expect(master.mutations.addService({ decky, service: "quits" })).rejects.toThrow();
    await expect(master.mutations.removeService({ decky, service: "quits" })).rejects.toThrow("is not on");
    await master.mutations.addService({ decky, service: "quits", config: { mode: "serve" } });
    await master.mutations.removeService({ decky, service: "quits" });
    expect((await seen())?.state).toBe(DeckyState.RUNNING);
  });
});
