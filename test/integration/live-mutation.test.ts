import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, inside, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a service of a live decky", () => {
  let master: TestMaster;
  let decky: { name: string };
  const login = async (password: string) =>
    (
      await inside(decky.name, "sshpass", [
        "-p",
        password,
        "ssh",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
        "root@127.0.0.1",
        "echo",
        "in",
      ])
    ).stdout;

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis", "http"] });
  });

  it("is added, and answers with the password that was given", async () => {
    const before = await containersOf(decky.name);
    const { operation } = await master.mutations.addService({
      decky,
      service: "ssh",
      config: { password: "first-one" },
      options: { reason: "ticket 1" },
    });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(operation?.plan?.steps.map((step) => step.verb)).toEqual(["write-project", "create", "settle"]);
    expect(operation?.receipt?.othersUnchanged).toBe(true);
    expect(await login("first-one")).toBe("in");
    const after = await containersOf(decky.name);
    for (const [name, facts] of before) expect(after.get(name)).toBe(facts);
    expect([...after.keys()].filter((name) => !before.has(name))).toEqual([`${decky.name}-ssh`]);
  });

  it("keeps its old settings after a save, and has the new ones after an apply", async () => {
    const key = (await inside(decky.name, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout;
    const saved = await master.mutations.updateServiceConfig({ decky, service: "ssh", config: { password: "second-one" } });
    expect(saved.operation?.plan?.steps).toEqual([]);
    expect(await login("first-one")).toBe("in");
    const staged = await master.fleet.getDecky({ decky });
    expect(staged.decky?.services.find((service) => service.slug === "ssh")?.stagedSecrets).toEqual(["password"]);
    await master.mutations.updateServiceConfig({ decky, service: "ssh", apply: true });
    expect(await login("second-one")).toBe("in");
    expect(await login("first-one")).toBe("");
    // The decoy's identity outlives the container.
    expect((await inside(decky.name, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout).toBe(key);
  });

  it("keeps a secret that an update does not name, and clears it when it is named", async () => {
    await master.mutations.updateServiceConfig({ decky, service: "ssh", config: { user: "maria" }, apply: true });
    expect(await login("second-one")).toBe("in");
    await master.mutations.updateServiceConfig({ decky, service: "ssh", clearSecrets: ["password"], apply: true });
    expect(await login("admin")).toBe("in");
  });

  it("is removed together with its settings, and its port is closed (W-04)", async () => {
    await master.mutations.removeService({ decky, service: "ssh" });
    expect((await inside(decky.name, "bash", ["-c", "exec 3<>/dev/tcp/127.0.0.1/22"])).exitCode).not.toBe(0);
    await master.mutations.addService({ decky, service: "ssh" });
    expect(await login("admin")).toBe("in");
    expect(await login("second-one")).toBe("");
  });

  it("comes back as it was from an old revision", async () => {
    const { revisions } = await master.fleet.listRevisions({ decky });
    const withFirst = revisions.find((revision) => revision.reason === "ticket 1");
    await master.fleet.restoreRevision({ decky, revision: withFirst?.number ?? 0, service: "ssh" });
    expect(await login("first-one")).toBe("in");
  });

  it("can be the last one of its decky (W-02)", async () => {
    for (const service of ["ssh", "redis", "http"]) await master.mutations.removeService({ decky, service });
    const { decky: bare } = await master.fleet.getDecky({ decky });
    expect(bare?.services).toEqual([]);
    await master.mutations.addService({ decky, service: "redis" });
    expect((await inside(decky.name, "redis-cli", ["ping"])).stdout).toBe("PONG");
  });

  it("is stored with the settings it was added with (W-01)", async () => {
    await master.mutations.removeService({ decky, service: "redis" });
    await master.mutations.addService({ decky, service: "redis", config: { maxmemory_mb: 32, password: 'p$a"s' } });
    const redis = (await master.fleet.getDecky({ decky })).decky?.services[0];
    expect(redis?.config).toEqual({ maxmemory_mb: 32 });
    expect(redis?.secretsSet).toEqual(["password"]);
    expect(
      (await inside(decky.name, "redis-cli", ["--no-auth-warning", "-a", 'p$a"s', "config", "get", "maxmemory"])).stdout,
    ).toContain(String(32 << 20));
  });
});
