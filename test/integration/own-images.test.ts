import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { createComposeCli } from "@decnet/engine/docker/compose";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { openEngine } from "@decnet/engine/engine";
import { createBuiltImages } from "@decnet/engine/execute/built-images";
import { createImageStore } from "@decnet/engine/execute/image-store";
import { privateBase } from "@decnet/engine/render/own-images";
import { debianBase } from "@decnet/engine/tables/distros";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { testCatalog } from "../support/catalogs.ts";
import { engineOptions, specIn } from "../support/conformance.ts";
import { elsewhere, useOwnEngine } from "../support/own-engine.ts";
import { eventually, type Place, usePlace } from "../support/use-master.ts";

/** Writes down what it is asked, and has nothing. */
const registry = `
const { appendFileSync } = require("node:fs");
require("node:http")
  .createServer((request, response) => {
    appendFileSync(process.argv[1], request.method + " " + request.url + "\\n");
    response.writeHead(404).end();
  })
  .listen(5000, "127.0.0.1", () => appendFileSync(process.argv[1], "listens\\n"));
`;

describe("an image of ours that is not on the host", () => {
  let place: Place;
  let engine: Awaited<ReturnType<typeof useOwnEngine>>;
  let recorder: ChildProcess;
  let folder: string;

  const asked = async () => (await readFile(join(folder, "asked"), "utf8").catch(() => "")).split("\n").slice(1, -1);
  const cure = (image: string) =>
    `the image ${image} is not on this host: it is never pulled; run scripts/setup/base-image.sh on this host, which makes it`;

  beforeAll(async () => {
    place = await usePlace();
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    engine = await useOwnEngine({ settings: { "registry-mirrors": ["http://127.0.0.1:5000"] } });
    const enter = [`--net=/run/netns/${engine.netns}`, process.execPath, "-e", registry, join(folder, "asked")];
    recorder = spawn("nsenter", enter, { stdio: "ignore" });
    await eventually(async () => (await readFile(join(folder, "asked"), "utf8").catch(() => "")) !== "");
  });
  afterAll(async () => {
    recorder.kill();
    await once(recorder, "exit");
    await engine.dispose();
    await rm(folder, { recursive: true });
    await place.dispose();
  });
  beforeEach(() => engine.load([debianBase]));

  const removeBase = () => engine.docker(["image", "rm", "-f", debianBase]);

  it("would be asked for in public by the engine itself", async () => {
    await removeBase();
    await expect(engine.docker(["pull", debianBase])).rejects.toThrow();
    expect((await asked()).join("\n")).toContain("/v2/");
  });

  it("is not asked for anywhere by a deploy, which says how it is made", async () => {
    await removeBase();
    const before = await asked();
    const decoys = await openEngine({ ...(await engineOptions(place)), ...elsewhere, socketPath: engine.socketPath });
    const spec = specIn(place, [{ slug: "silent", config: {} }]);
    const nothing = () => undefined;
    const how = { expectedDigest: "", onPlan: nothing, onStep: nothing, signal: AbortSignal.timeout(60_000) };
    const { failure } = await decoys.apply({ kind: "present", spec }, how);
    expect(failure?.message).toBe(cure(debianBase));
    const prepared = await decoys.prepareImages([spec, { ...spec, baseImage: `docker.io/${debianBase}` }], how.signal);
    expect(prepared.map(({ problem }) => problem)).toEqual(
      [debianBase, debianBase, `docker.io/${debianBase}`].map((image) => cure(image)),
    );
    expect(await asked()).toEqual(before);
  });

  it("is not asked for by a build that it vanishes from at the last moment", async () => {
    const before = await asked();
    const api = createEngineApi(engine.socketPath);
    const compose = createComposeCli(engine.socketPath, { configFolder: folder });
    const image = { ...(await silent()), buildBase: debianBase };
    const images = createImageStore({
      api,
      built: createBuiltImages(join(folder, "built.json")),
      compose: {
        async build(options) {
          await removeBase();
          await engine.docker(["image", "rm", "-f", privateBase(image.tag)]);
          return compose.build(options);
        },
      },
      minFreeBytes: 0,
    });
    await expect(images.prepare(image, AbortSignal.timeout(60_000))).rejects.toThrow(cure(debianBase));
    expect(await asked()).toEqual(before);
  });

  it("is built from under its own name, which it alone keeps", async () => {
    const image = { ...(await silent()), buildBase: debianBase };
    const api = createEngineApi(engine.socketPath);
    const compose = createComposeCli(engine.socketPath, { configFolder: folder });
    const built = createBuiltImages(join(folder, "built.json"));
    await createImageStore({ api, built, compose, minFreeBytes: 0 }).prepare(image, AbortSignal.timeout(60_000));
    const { stdout } = await engine.docker(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    expect(stdout.split("\n").sort()).toEqual([debianBase, image.tag].sort());
    expect(await built.of(image.tag)).toBe(await api.imageId(image.tag));
  });

  const silent = async () => {
    const entry = (await loadCatalog([testCatalog])).services.get("silent") ?? expect.fail("no silent");
    return { tag: `decnet/silent:${"0".repeat(16)}`, context: entry.image.context };
  };
});
