import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { elsewhereEnv, useOwnEngine } from "../support/own-engine.ts";
import { serviceImages } from "../support/service-images.ts";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("an engine that goes away and comes back", () => {
  let engine: Awaited<ReturnType<typeof useOwnEngine>>;
  let master: TestMaster;
  let decky: { name: string };

  const inspect = async (format: string, container: string) =>
    (await engine.docker(["inspect", "--format", format, container])).stdout;
  const inside = async (file: string, args: string[]) => {
    const pid = await inspect("{{.State.Pid}}", decky.name);
    return (await execa("nsenter", ["-t", pid, "-n", file, ...args], { reject: false, timeout: 20_000, stdin: "ignore" })).stdout;
  };
  const identity = async () => [
    await inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}} {{.Config.Hostname}}", decky.name),
    (await inside("ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).split(" ").at(-1),
  ];
  const startedAt = () => inspect("{{.State.StartedAt}}", decky.name);
  const seen = async () => (await master.fleet.getDecky({ decky })).decky;
  const isRunning = async () => (await seen())?.state === DeckyState.RUNNING;

  beforeAll(async () => {
    engine = await useOwnEngine();
    const { services } = await loadCatalog([ownCatalog]);
    const entries = ["ssh", "redis", "http"].map((slug) => services.get(slug) ?? expect.fail(`no service ${slug}`));
    await engine.load([debianBase, ...(await serviceImages(entries)).map((image) => image.tag)]);
    master = await useMaster({ env: { ...elsewhereEnv, DECNET_DOCKER_SOCKET: engine.socketPath } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["ssh", "redis"] });
  });
  afterAll(async () => {
    await master.dispose();
    await engine.dispose();
  });

  const isAway = async () => {
    const found = await seen();
    return found?.state === DeckyState.UNKNOWN ? found : undefined;
  };

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "by %s is noticed with its cause, everything runs again by itself, with the same identity",
    async (signal) => {
      const before = await identity();
      const began = await startedAt();
      expect(before[1]).toMatch(/^AAAA/);
      await engine.stop(signal);
      expect((await eventually(isAway)).message).toContain("the Docker engine does not answer");
      await engine.start();
      await eventually(isRunning, 60_000);
      expect(await identity()).toEqual(before);
      expect(await startedAt()).not.toBe(began);
      expect(await inside("redis-cli", ["ping"])).toBe("PONG");
    },
  );

  it("does not keep a master from starting, which says what is away, takes changes and makes them afterwards", async () => {
    await engine.stop("SIGKILL");
    await master.restart();
    const ready = await fetch(`http://127.0.0.1:${master.port}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      {
        ...{ database: "ok", engine: "the Docker engine does not answer", containment: "not known", keys: "ok" },
      },
    ]);
    expect((await eventually(isAway)).message).toContain("the Docker engine does not answer");
    const { operation } = await master.mutations.removeService({ decky, service: "redis", options: { wait: Wait.ACCEPTED } });
    await engine.start();
    const { operations } = master;
    await eventually(
      async () => (await operations.getOperation({ id: operation?.id ?? "" })).operation?.state === OperationState.SUCCEEDED,
      60_000,
    );
    await eventually(isRunning, 60_000);
    await master.mutations.addService({ decky, service: "redis" });
  });

  it("does not cost a change that was accepted meanwhile, which is tried again (W-51)", async () => {
    await engine.stop("SIGKILL");
    await eventually(isAway);
    const { operation } = await master.mutations.addService({ decky, service: "http", options: { wait: Wait.ACCEPTED } });
    const id = operation?.id ?? "";
    await eventually(isAway);
    await engine.start();
    const ended = await eventually(async () => {
      const found = (await master.operations.getOperation({ id })).operation;
      return found !== undefined && found.state > OperationState.RUNNING ? found : undefined;
    }, 60_000);
    expect(ended.state).toBe(OperationState.SUCCEEDED);
    await eventually(isRunning, 60_000);
    expect(await inside("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/"])).toBe("200");
  });

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "by %s is looked at as soon as it is there, and not at the next check",
    async (signal) => {
      const env = { ...elsewhereEnv, DECNET_DOCKER_SOCKET: engine.socketPath, DECNET_DRIFT_INTERVAL_MS: "3600000" };
      const slow = await useMaster({ env });
      try {
        await deploy(slow, { b: ["redis"] });
        await engine.stop(signal);
        const stoppedAt = Math.floor(Date.now() / 1_000);
        await engine.start();
        await eventually(async () => {
          const found = (await slow.fleet.getDecky({ decky: { name: `${slow.prefix}-b` } })).decky;
          return Number(found?.observedAt?.seconds ?? 0n) > stoppedAt;
        }, 60_000);
      } finally {
        await slow.dispose();
      }
    },
  );
});
