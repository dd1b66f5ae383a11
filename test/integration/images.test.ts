import { fromConnectError } from "@decnet/common/rpc/errors";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { type Engine, openEngine } from "@decnet/engine/engine";
import type { DeckySpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { engineOptions, specIn } from "../support/conformance.ts";
import { containersOf, deploy, type Place, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

describe("images", () => {
  let master: TestMaster;
  let decky: { name: string };

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_MIN_FREE_MB: "1000000000" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });
  afterAll(() => master.dispose());

  it("are not built on a disk that is too full, which is said with what it takes; what is there is used", async () => {
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
    const [idle, used] = ["idle", "used"].map((name) => `${master.prefix}/${name}:1`) as [string, string];
    await execa("docker", ["tag", debianBase, idle]);
    await buildFrom(debianBase, used, `LABEL of=${master.prefix}`);
    await execa("docker", ["create", "--name", `${master.prefix}-used`, used]);
    const tags = async () => (await api.listImages(`${master.prefix}/`)).map((image) => image.tag).sort();
    try {
      expect(await tags()).toEqual([idle, used]);
      expect(await api.listImages(used)).toMatchObject([{ tag: used, isUsed: true }]);
      await api.removeImage(idle);
      await api.removeImage(used);
      expect(await tags()).toEqual([used]);
    } finally {
      await execa("docker", ["rm", "-f", `${master.prefix}-used`]);
      await api.removeImage(used);
    }
  });
});

describe("the image of a service", () => {
  let place: Place;
  let engine: Engine;
  let base: string;

  beforeAll(async () => {
    place = await usePlace();
    engine = await openEngine({ ...(await engineOptions(place)), catalog: await loadCatalog([ownCatalog, testCatalog]) });
    base = `${place.prefix}/base:1`;
    await buildFrom(debianBase, base, `LABEL of=${place.prefix}`);
  });
  afterAll(async () => {
    await execa("docker", ["rmi", "-f", base, ...made], { reject: false });
    await place.dispose();
  });

  const made = new Set<string>();
  const spec = (slug: string, more: Partial<DeckySpec> = {}): DeckySpec => ({
    ...specIn(place, [{ slug, config: {} }]),
    baseImage: base,
    buildBase: base,
    ...more,
  });
  const prepare = async (...specs: DeckySpec[]) => {
    const prepared = await engine.prepareImages(specs, AbortSignal.timeout(60_000));
    for (const { tag, problem } of prepared) if (problem === "" && tag.startsWith("decnet/")) made.add(tag);
    return prepared;
  };
  const imageSteps = async (of: DeckySpec) =>
    (await engine.plan({ kind: "present", spec: of })).plan.steps.filter((step) => step.verb === "prepare-image");

  it("is prepared before anything needs it, also for two at once, and a failure keeps no other from it", async () => {
    expect((await imageSteps(spec("silent"))).map((step) => step.target)).toEqual([
      expect.stringMatching(/^decnet\/silent:[0-9a-f]{16}$/),
    ]);
    const lists = await Promise.all([prepare(spec("broken"), spec("silent")), prepare(spec("silent"))]);
    const words = lists.map((list) =>
      list.map(({ tag, problem }) => `${tag.replace(/:.*/, "")} ${problem.replace(/ decnet.*/, "")}`),
    );
    const own = base.replace(/:.*/, "");
    expect(words).toEqual([
      [`${own} `, "decnet/broken building", "decnet/silent "],
      [`${own} `, "decnet/silent "],
    ]);
    expect(lists[0]?.[1]?.outputTail.join("\n")).toContain("this image refuses to be built");
    expect(await imageSteps(spec("silent"))).toEqual([]);
  });

  it("is another one when its build base was made again under the same name", async () => {
    const [before] = await prepare(spec("quits", { baseImage: base })).then((prepared) => prepared.slice(1));
    expect(await imageSteps(spec("quits"))).toEqual([]);
    await buildFrom(debianBase, base, "RUN touch /etc/newer");
    const [step] = await imageSteps(spec("quits"));
    expect(step?.cause).toBe("image is absent");
    expect(step?.target).not.toBe(before?.tag);
    await prepare(spec("quits"));
    const { stdout } = await execa("docker", ["run", "--rm", "--entrypoint", "ls", step?.target ?? "", "/etc/newer"]);
    expect(stdout).toBe("/etc/newer");
  });

  it("is never looked for elsewhere under a name of ours, and what makes it is said", async () => {
    const absent = `decnet/absent-${place.prefix}:1`;
    expect(await prepare(spec("odd_name", { baseImage: absent, buildBase: absent }))).toEqual(
      [absent, expect.stringMatching(/^decnet\/odd_name:/)].map((tag) => ({
        tag,
        problem: expect.stringContaining(`the image ${absent} is not on this host: it is never pulled; run`) as string,
        outputTail: [],
      })),
    );
  });
});

/** Makes an image out of another one. */
async function buildFrom(from: string, tag: string, line: string): Promise<void> {
  await execa("docker", ["build", "-t", tag, "-"], { input: `FROM ${from}\n${line}\n` });
}
