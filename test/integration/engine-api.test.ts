import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { endProcesses } from "@decnet/engine/docker/lost-processes";
import { label } from "@decnet/engine/render/names";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";

it("a container that the engine is just removing is never seen: it is as good as gone", async () => {
  const api = createEngineApi("/var/run/docker.sock");
  const instance = `t${process.env["DECNET_TEST_RUN"] ?? ""}engine`;
  const labels = [`${label.instance}=${instance}`, `${label.decky}=fleet/x`].flatMap((each) => ["--label", each]);
  for (let round = 0; round < 5; round += 1) {
    const { stdout: id } = await execa("docker", ["run", "-d", ...labels, "--name", instance, debianBase, "sleep", "60"]);
    const removal = execa("docker", ["rm", "-f", id]);
    const seen: string[] = [];
    for (let present = true; present; ) {
      const found = await api.listContainers(instance);
      seen.push(...found.map(({ container }) => container.status));
      present = found.length > 0;
    }
    await removal;
    expect(seen).not.toContain("removing");
  }
});

it("a container whose process has just ended is never seen as one that runs without a namespace", async () => {
  const api = createEngineApi("/var/run/docker.sock");
  const instance = `t${process.env["DECNET_TEST_RUN"] ?? ""}ended`;
  const labels = [`${label.instance}=${instance}`, `${label.decky}=fleet/x`].flatMap((each) => ["--label", each]);
  const { stdout: id } = await execa("docker", ["run", "-d", ...labels, "--name", instance, debianBase, "sleep", "60"]);
  try {
    for (let round = 0; round < 10; round += 1) {
      const [before] = await api.listContainers(instance);
      process.kill(before?.container.pid ?? 0, "SIGKILL");
      for (let status = "running"; status !== "exited"; ) {
        const [after] = await api.listContainers(instance);
        status = after?.container.status ?? "absent";
        expect([status, after?.container.netns]).toEqual([status, status === "exited" ? undefined : before?.container.netns]);
      }
      await api.start(id);
    }
  } finally {
    await execa("docker", ["rm", "-f", id]);
  }
});

it("a container is ended by its processes alone, and nobody else is", async () => {
  const name = `t${process.env["DECNET_TEST_RUN"] ?? ""}lost`;
  const run = async (of: string) =>
    (await execa("docker", ["run", "-d", "--init", "--name", of, debianBase, "sleep", "60"])).stdout;
  const [id, other] = [await run(name), await run(`${name}-other`)];
  const statusOf = async (of: string) => (await execa("docker", ["inspect", "--format", "{{.State.Status}}", of])).stdout;
  try {
    expect(endProcesses(id)).toBeGreaterThanOrEqual(2);
    await eventually(async () => (await statusOf(id)) === "exited");
    expect(await statusOf(other)).toBe("running");
    expect(endProcesses(id)).toBe(0);
  } finally {
    await execa("docker", ["rm", "-f", id, other]);
  }
});
