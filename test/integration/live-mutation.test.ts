import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deployBeside, inside, type TestMaster, useMaster } from "../support/use-master.ts";

/** What the ssh server of a decky says to somebody who logs in as root: nothing when the password is wrong. */
async function login({ name }: { name: string }, password: string): Promise<string> {
  const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
  const ssh = ["ssh", ...options.flatMap((option) => ["-o", option]), "root@127.0.0.1", "echo", "in"];
  return (await inside(name, "sshpass", ["-p", password, ...ssh])).stdout;
}

async function hostKey({ name }: { name: string }): Promise<string> {
  return (await inside(name, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout;
}

/** One master for all; each test has a decky of its own. */
describe("a service of a live decky", () => {
  let master: TestMaster;

  beforeAll(async () => {
    master = await useMaster();
  });
  afterAll(() => master?.dispose());

  it("is added, and takes the password that was given", async () => {
    const decky = await deployBeside(master, "added", { redis: {}, http: {} });
    const before = await containersOf(decky.name);
    const { operation } = await master.mutations.addService({ decky, service: "ssh", config: { password: "first-one" } });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(operation?.plan?.steps.map((step) => step.verb)).toEqual(["write-project", "create", "settle"]);
    expect(operation?.receipt?.othersUnchanged).toBe(true);
    expect(await login(decky, "first-one")).toBe("in");
    const after = await containersOf(decky.name);
    for (const [name, facts] of before) expect(after.get(name)).toBe(facts);
    expect([...after.keys()].filter((name) => !before.has(name))).toEqual([`${decky.name}-ssh`]);
  });

  it("keeps its old settings after a save, and has the new ones after an apply", async () => {
    const decky = await deployBeside(master, "saved", { ssh: { password: "first-one" } });
    const key = await hostKey(decky);
    const saved = await master.mutations.updateServiceConfig({ decky, service: "ssh", config: { password: "second-one" } });
    expect(saved.operation?.plan?.steps).toEqual([]);
    expect(await login(decky, "first-one")).toBe("in");
    const staged = await master.fleet.getDecky({ decky });
    expect(staged.decky?.services.find((service) => service.slug === "ssh")?.stagedSecrets).toEqual(["password"]);
    await master.mutations.updateServiceConfig({ decky, service: "ssh", apply: true });
    expect(await login(decky, "second-one")).toBe("in");
    expect(await login(decky, "first-one")).toBe("");
    // The decoy's identity outlives the container.
    expect(await hostKey(decky)).toBe(key);
  });

  it("keeps a secret that an update does not name, and clears it when it is named", async () => {
    const decky = await deployBeside(master, "secret", { ssh: { password: "first-one" } });
    await master.mutations.updateServiceConfig({ decky, service: "ssh", config: { user: "maria" }, apply: true });
    expect(await login(decky, "first-one")).toBe("in");
    await master.mutations.updateServiceConfig({ decky, service: "ssh", clearSecrets: ["password"], apply: true });
    expect(await login(decky, "admin")).toBe("in");
  });

  it("is removed together with its settings, and its port is closed (W-04)", async () => {
    const decky = await deployBeside(master, "removed", { ssh: { password: "first-one" } });
    await master.mutations.removeService({ decky, service: "ssh" });
    expect((await inside(decky.name, "bash", ["-c", "exec 3<>/dev/tcp/127.0.0.1/22"])).exitCode).not.toBe(0);
    await master.mutations.addService({ decky, service: "ssh" });
    expect(await login(decky, "admin")).toBe("in");
    expect(await login(decky, "first-one")).toBe("");
  });

  it("comes back as it was from an old revision", async () => {
    const decky = await deployBeside(master, "restored", { redis: {} });
    const options = { reason: "ticket 1" };
    await master.mutations.addService({ decky, service: "ssh", config: { password: "first-one" }, options });
    await master.mutations.removeService({ decky, service: "ssh" });
    const { revisions } = await master.fleet.listRevisions({ decky });
    const withFirst = revisions.find((revision) => revision.reason === "ticket 1");
    await master.fleet.restoreRevision({ decky, revision: withFirst?.number ?? 0, service: "ssh" });
    expect(await login(decky, "first-one")).toBe("in");
  });

  it("can be the last one of its decky (W-02)", async () => {
    const decky = await deployBeside(master, "bare", { http: {}, redis: {} });
    for (const service of ["http", "redis"]) await master.mutations.removeService({ decky, service });
    const { decky: bare } = await master.fleet.getDecky({ decky });
    expect(bare?.services).toEqual([]);
    await master.mutations.addService({ decky, service: "redis" });
    expect((await inside(decky.name, "redis-cli", ["ping"])).stdout).toBe("PONG");
  });

  it("is stored with the settings it was added with (W-01)", async () => {
    const decky = await deployBeside(master, "stored", { http: {} });
    await master.mutations.addService({ decky, service: "redis", config: { maxmemory_mb: 32, password: 'p$a"s' } });
    const { decky: now } = await master.fleet.getDecky({ decky });
    const redis = now?.services.find(({ slug }) => slug === "redis");
    expect(redis?.config).toEqual({ maxmemory_mb: 32 });
    expect(redis?.secretsSet).toEqual(["password"]);
    const ask = ["--no-auth-warning", "-a", 'p$a"s', "config", "get", "maxmemory"];
    expect((await inside(decky.name, "redis-cli", ask)).stdout).toContain(String(32 << 20));
  });
});
