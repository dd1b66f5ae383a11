import { fromConnectError } from "@decnet/common/rpc/errors";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("images", () => {
  let master: TestMaster;
  let decky: { name: string };

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_MIN_FREE_MB: "1000000000" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });
  afterAll(() => master.dispose());

  it("are not built on a disk that is too full, which is said with the folder and what it takes; what is there is used", async () => {
    const before = await containersOf(decky.name);
    const failure: unknown = await master.mutations.addService({ decky, service: "broken" }).catch((error: unknown) => error);
    const { reason, message, operation } = fromConnectError(failure);
    expect(reason).toBe("APPLY_FAILED");
    expect(message).toMatch(/^\/\S+ has \d+ MB free, and getting an image needs 1000000000 MB/);
    expect(operation?.error?.undone).toBe(true);
    expect(await containersOf(decky.name)).toEqual(before);
    await master.mutations.addService({ decky, service: "http" });
  });

  it("are told by their tags, with whether a container uses them, and go by tag", async () => {
    const api = createEngineApi(master.config.dockerSocket);
    const tag = `${master.prefix}/images:${"0".repeat(16)}`;
    await execa("docker", ["tag", debianBase, tag]);
    const find = async () => (await api.listImages(`${master.prefix}/`)).map((image) => image.tag);
    expect(await find()).toEqual([tag]);
    const redis = (await api.listImages("decnet/redis:")).filter((image) => image.isUsed);
    expect(redis.length).toBeGreaterThan(0);
    await api.removeImage(tag);
    expect(await find()).toEqual([]);
    await api.removeImage(redis[0]?.tag ?? "");
    expect((await api.listImages("decnet/redis:")).map((image) => image.tag)).toContain(redis[0]?.tag);
  });
});
