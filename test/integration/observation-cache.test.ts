import { readlink } from "node:fs/promises";
import { createEngineApi, type EngineApi } from "@decnet/engine/docker/engine-api";
import { label } from "@decnet/engine/render/names";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useCountingProxy } from "../support/counting-proxy.ts";
import { dockerLines, eventually } from "../support/use-master.ts";

const size = 12;
const instance = `t${process.env["DECNET_TEST_RUN"] ?? ""}cache`;

const network = `${instance}-net`;

describe("looking at an engine again and again", () => {
  let proxy: Awaited<ReturnType<typeof useCountingProxy>>;
  let api: EngineApi;

  const run = (name: string, ...more: string[]) => {
    const labels = [`${label.instance}=${instance}`, `${label.decky}=fleet/${name}`].flatMap((each) => ["--label", each]);
    return execa("docker", [
      "run",
      "-d",
      "--init",
      ...labels,
      "--name",
      `${instance}${name}`,
      ...more,
      debianBase,
      "sleep",
      "600",
    ]);
  };
  /** What the engine itself says, without a cache. */
  const truth = async (name: string) => {
    const format = "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{.State.Pid}} {{.State.ExitCode}}";
    const { stdout } = await execa("docker", ["inspect", "--format", format, `${instance}${name}`], { reject: false });
    const [id = "", status, startedAt, restartCount, pid, exitCode] = stdout.split(" ");
    if (id === "") return undefined;
    const netns = pid === "0" ? undefined : await readlink(`/proc/${pid}/ns/net`).catch(() => "gone");
    return { id, status, startedAt, restartCount: Number(restartCount), pid: Number(pid), exitCode: Number(exitCode), netns };
  };
  const told = async (name: string) => {
    const found = (await api.listContainers(instance)).find((each) => each.decky === `fleet/${name}`)?.container;
    if (found === undefined) return undefined;
    const { id, status, startedAt, restartCount, pid, exitCode, netns } = found;
    return { id, status, startedAt, restartCount, pid, exitCode, netns };
  };

  beforeAll(async () => {
    proxy = await useCountingProxy("/var/run/docker.sock");
    api = createEngineApi(proxy.socketPath);
    await execa("docker", ["network", "create", network]);
    await Promise.all(Array.from({ length: size }, (_, index) => run(`n${index}`)));
    await run("x");
    await run("crashing", "--restart", "always");
  });
  afterAll(async () => {
    await proxy.dispose();
    const left = await dockerLines(["ps", "-aq", "--filter", `label=${label.instance}=${instance}`]);
    if (left.length > 0) await execa("docker", ["rm", "-f", ...left]);
    await execa("docker", ["network", "rm", network], { reject: false });
  });

  it("takes one request as long as nothing changes", async () => {
    const first = await api.listContainers(instance);
    expect(first).toHaveLength(size + 2);
    proxy.take();
    expect(await api.listContainers(instance)).toEqual(first);
    const asked = proxy.take();
    expect(asked).toHaveLength(1);
    expect(asked[0]).toContain("/containers/json");
    // One decky alone is no reason to forget the others.
    await api.listContainers(instance, "fleet/n0");
    await api.listContainers(instance);
    expect(proxy.take()).toHaveLength(2);
  });

  it("asks again for the one that changed, and for no other", async () => {
    await execa("docker", ["restart", "-t", "1", `${instance}n1`]);
    proxy.take();
    await api.listContainers(instance);
    expect(proxy.take().filter((line) => !line.includes("/containers/json"))).toHaveLength(1);
  });

  it.each([
    ["restarted", ["restart", "-t", "1"]],
    ["killed", ["kill"]],
    ["started", ["start"]],
    ["paused", ["pause"]],
    ["unpaused", ["unpause"]],
    ["stopped", ["stop", "-t", "1"]],
    ["started again", ["start"]],
    ["stopped, again", ["stop", "-t", "1"]],
    ["restarted from a stop", ["restart"]],
    ["removed", ["rm", "-f"]],
  ])("tells the truth after a container was %s", async (_, act) => {
    expect(await told("x")).toEqual(await truth("x"));
    await execa("docker", [...act, `${instance}x`]);
    expect(await told("x")).toEqual(await truth("x"));
    expect(await told("x")).toEqual(await truth("x"));
  });

  it.each([
    ["given other limits", ["update", "--memory", "200m", "--memory-swap", "400m"]],
    ["given another restart policy", ["update", "--restart", "always"]],
    ["connected to another network", ["network", "connect", network]],
    ["disconnected from it", ["network", "disconnect", network]],
    ["renamed", ["rename", `${instance}n2`, `${instance}other`]],
  ])("sees that a running container was %s", async (_, act) => {
    const look = async () => (await api.listContainers(instance)).find((each) => each.decky === "fleet/n2")?.container;
    const before = await look();
    await execa("docker", act[0] === "rename" ? act : [...act, `${instance}n2`]);
    const after = await eventually(async () => {
      const found = await look();
      return JSON.stringify(found) === JSON.stringify(before) ? undefined : found;
    });
    expect(after.id).toBe(before?.id);
    expect(await look()).toEqual(after);
  });

  it("tells the truth about a new container with the name of an old one", async () => {
    await run("x");
    expect(await told("x")).toEqual(await truth("x"));
    await execa("docker", ["rename", `${instance}x`, `${instance}y`]);
    const [found] = await api.listContainers(instance, "fleet/x");
    expect(found?.container.name).toBe(`${instance}y`);
  });

  it("tells the truth all the time while a container crashes and is restarted", async () => {
    const before = await told("crashing");
    process.kill(before?.pid ?? 0, "SIGKILL");
    let compared = 0;
    await eventually(async () => {
      const first = await truth("crashing");
      const seen = await told("crashing");
      const second = await truth("crashing");
      // While the engine itself changes its mind there is nothing to compare with.
      if (JSON.stringify(first) === JSON.stringify(second)) {
        expect(seen).toEqual(second);
        compared += 1;
      }
      return seen?.status === "running" && seen.restartCount === 1 && compared > 0;
    });
    expect((await told("crashing"))?.startedAt).not.toBe(before?.startedAt);
  });
});
