import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, inside, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a change that fails", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });

  const failureOf = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error: unknown) => fromConnectError(error),
    );

  it.each([
    ["broken", "this image refuses to be built"],
    ["quits", "no reason to live"],
    ["silent", "does not listen on 7003/tcp"],
  ])("is undone, says why, and can be asked for again (%s; W-03, W-13)", async (service, clue) => {
    const before = await containersOf(decky.name);
    for (const attempt of [1, 2]) {
      const failure = await failureOf(master.mutations.addService({ decky, service, options: { reason: `attempt ${attempt}` } }));
      expect(failure?.reason).toBe("APPLY_FAILED");
      expect(failure?.operation?.state).toBe(OperationState.FAILED);
      expect(failure?.operation?.error?.undone).toBe(true);
      expect([failure?.message, ...(failure?.operation?.error?.outputTail ?? [])].join("\n")).toContain(clue);
      expect(await containersOf(decky.name)).toEqual(before);
    }
    const { decky: after } = await master.fleet.getDecky({ decky });
    expect(after?.services.map((each) => each.slug)).toEqual(["redis"]);
    expect((await inside(decky.name, "redis-cli", ["ping"])).stdout).toBe("PONG");
  });

  it("brings the last good settings back to a service that ran", async () => {
    await master.mutations.addService({ decky, service: "quits", config: { mode: "serve" } });
    const failure = await failureOf(
      master.mutations.updateServiceConfig({ decky, service: "quits", config: { mode: "quit" }, apply: true }),
    );
    expect(failure?.operation?.error?.undone).toBe(true);
    const { decky: after } = await master.fleet.getDecky({ decky });
    expect(after?.services.find((service) => service.slug === "quits")?.config).toEqual({ mode: "serve" });
    expect((await inside(decky.name, "bash", ["-c", "exec 3<>/dev/tcp/127.0.0.1/7002"])).exitCode).toBe(0);
    await master.mutations.removeService({ decky, service: "quits" });
  });

  it("stays as it is when that was asked for", async () => {
    const failure = await failureOf(master.mutations.addService({ decky, service: "silent", options: { onFailure: 2 } }));
    expect(failure?.operation?.error?.undone).toBe(false);
    expect([...(await containersOf(decky.name)).keys()]).toContain(`${decky.name}-silent`);
    await master.mutations.removeService({ decky, service: "silent" });
    expect([...(await containersOf(decky.name)).keys()]).not.toContain(`${decky.name}-silent`);
  });

  it("stops before it touches anything when a foreign container has the name that it needs, as its plan says", async () => {
    const name = `${decky.name}-ftp`;
    const dryRun = async () =>
      (await master.mutations.addService({ decky, service: "ftp", options: { dryRun: true } })).operation;
    const add = (expectedPlan = "") => master.mutations.addService({ decky, service: "ftp", options: { expectedPlan } });
    const message = `the container name ${name} is taken by a container that is not ours; remove or rename it`;
    const free = await dryRun();
    const before = await containersOf(decky.name);
    await execa("docker", ["create", "--name", name, debianBase]);
    try {
      expect((await failureOf(add(free?.plan?.digest)))?.reason).toBe("PLAN_CHANGED");
      const taken = await dryRun();
      expect(taken?.plan?.text).toContain(`1 blocked ${name} (${message})`);
      const failure = await failureOf(add(taken?.plan?.digest));
      expect([failure?.reason, failure?.message]).toEqual(["APPLY_FAILED", expect.stringContaining(message)]);
      expect(failure?.operation?.error?.undone).toBe(true);
      const after = await containersOf(decky.name);
      after.delete(name);
      expect(after).toEqual(before);
    } finally {
      await execa("docker", ["rm", "-f", name]);
    }
    await add();
    await master.mutations.removeService({ decky, service: "ftp" });
  });

  it("does not take the changes of others with it", async () => {
    const [bad, good] = await Promise.allSettled([
      master.mutations.addService({ decky, service: "quits" }),
      master.mutations.addService({ decky, service: "http" }),
    ]);
    expect(bad.status).toBe("rejected");
    expect(good.status).toBe("fulfilled");
    const { decky: after } = await master.fleet.getDecky({ decky });
    expect(after?.services.map((each) => each.slug)).toEqual(["redis", "http"]);
  });
});
