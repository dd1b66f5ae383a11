import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Engine } from "@decnet/engine/engine";
import { openEngine } from "@decnet/engine/engine";
import type { DeckySpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { engineOptions, specIn } from "../support/conformance.ts";
import { useOwnCatalog } from "../support/own-catalog.ts";
import { dockerLines, type Place, usePlace } from "../support/use-master.ts";

describe("somebody gives the tag of one of our images to another one", () => {
  let place: Place;
  let catalog: Awaited<ReturnType<typeof useOwnCatalog>>;
  let engine: Engine;
  let spec: DeckySpec;
  let tag: string;

  const open = async () => openEngine({ ...(await engineOptions(place)), catalog: await loadCatalog([catalog.folder]) });
  const nothing = () => undefined;
  const how = (more: object = {}) => ({
    ...{ expectedDigest: "", onPlan: nothing, onStep: nothing, signal: AbortSignal.timeout(60_000) },
    ...more,
  });
  const present = (services: DeckySpec["services"]) => ({ kind: "present", spec: { ...spec, services } }) as const;
  const idOf = async (reference: string) => (await dockerLines(["image", "inspect", "--format", "{{.Id}}", reference]))[0];
  const madeOf = async () =>
    (await dockerLines(["inspect", "--format", "{{.Image}} {{.Config.Image}}", `${spec.name}-${catalog.slug}`]))[0]?.split(" ");
  const fake = () => execa("docker", ["tag", debianBase, tag]);

  beforeAll(async () => {
    place = await usePlace();
    catalog = await useOwnCatalog(7_211);
    spec = specIn(place, [{ slug: catalog.slug, config: {} }]);
    engine = await open();
    expect((await engine.apply(present(spec.services), how())).failure).toBeUndefined();
    tag = (await madeOf())?.[1] ?? "";
  });
  afterAll(async () => {
    const { scope, name } = spec;
    await engine.apply({ kind: "absent", scope, name }, how());
    await catalog.dispose();
    await place.dispose();
  });
  beforeEach(async () => {
    await engine.apply(present([]), how());
  });

  it.each([
    ["before a container is made of it", async () => engine],
    ["while nobody runs here", open],
  ])("%s: it is built again, and the plan says why", async (_, opened) => {
    const own = await idOf(tag);
    await fake();
    expect(await idOf(tag)).not.toBe(own);
    const there = await opened();
    const { plan } = await there.plan(present(spec.services));
    expect(plan.steps.find(({ verb }) => verb === "prepare-image")).toMatchObject({
      target: tag,
      cause: "the image of that name is not the one that was built here",
    });
    expect((await there.apply(present(spec.services), how())).failure).toBeUndefined();
    expect([await madeOf(), await idOf(tag)]).toEqual([[await idOf(tag), tag], await idOf(tag)]);
    expect(await idOf(tag)).not.toBe(await idOf(debianBase));
    expect((await there.plan(present(spec.services))).plan.steps).toEqual([]);
  });

  it("between the plan and the container: the step fails, and says why", async () => {
    const { failure } = await engine.apply(present(spec.services), how({ onPlan: fake }));
    expect(failure).toMatchObject({
      step: { verb: "create" },
      message: `the image ${tag} is not the one that was built here: it is built again by the next plan`,
    });
    expect((await engine.apply(present(spec.services), how())).failure).toBeUndefined();
  });
});
