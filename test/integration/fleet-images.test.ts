import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Engine } from "@decnet/engine/engine";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { createMemoryEngine, type MemoryEngine } from "../support/memory-engine.ts";
import { useOwnCatalog } from "../support/own-catalog.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../support/scripted-worker.ts";
import { dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const stateOf = async (master: TestMaster, id: string) => (await master.operations.getOperation({ id })).operation?.state;
const hasEnded = (master: TestMaster, id: string) =>
  eventually(async () => {
    const state = await stateOf(master, id);
    return state !== undefined && state > OperationState.RUNNING ? state : undefined;
  }, 60_000);

describe("the image that the deckies of a fleet share", () => {
  let master: TestMaster;
  let own: Awaited<ReturnType<typeof useOwnCatalog>>[] = [];
  let held = Promise.resolve();
  let release: () => void = () => undefined;

  beforeAll(async () => {
    own = [await useOwnCatalog(7007), await useOwnCatalog(7008)];
    const DECNET_CATALOGUE = own.map(({ folder }) => folder).join(":");
    master = await useMaster({ env: { DECNET_CATALOGUE, DECNET_PARALLEL: "1" }, boundary: () => held });
  });
  afterAll(async () => {
    release();
    await master?.dispose();
    for (const { dispose } of own) await dispose();
  });

  const deckiesWith = (...slugs: string[]) =>
    ["a", "b", "c"].map((name) => ({ name: `${master.prefix}-${name}`, services: slugs.map((slug) => ({ slug })) }));

  it("is built once, before any of them has its turn", async () => {
    const slug = own[0]?.slug ?? "";
    held = new Promise((resolve) => {
      release = resolve;
    });
    const { operation } = await master.fleet.applyFleet({
      fleet: { lan: master.lan, deckies: deckiesWith(slug) },
      options: { wait: Wait.ACCEPTED },
    });
    const images = () => dockerLines(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", `decnet/${slug}`]);
    const [image = ""] = await eventually(async () => {
      const found = await images();
      return found.length > 0 ? found : undefined;
    }, 60_000);
    const { operations: parts } = await master.operations.listOperations({ filter: `parent=${operation?.id}` });
    const steps = await Promise.all(
      parts.map(async ({ id }) => (await master.operations.getOperation({ id })).operation?.steps ?? []),
    );
    expect(steps.map(({ length }) => length)).toEqual([0, 0, 0]);
    // A second build would have tagged it again.
    const made = () => dockerLines(["image", "inspect", "--format", "{{.Id}} {{.Metadata.LastTagTime}}", image]);
    const before = await made();
    release();
    expect(await hasEnded(master, operation?.id ?? "")).toBe(OperationState.SUCCEEDED);
    expect(await made()).toEqual(before);
  });

  it("does not make the plan that was agreed to another one by being there before their turn", async () => {
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies: deckiesWith("redis") } });
    const fleet = { lan: master.lan, deckies: deckiesWith("redis", own[1]?.slug ?? "") };
    const { operation: planned } = await master.fleet.applyFleet({ fleet, options: { dryRun: true } });
    expect(planned?.plan?.text).toContain("prepare-image");
    const options = { expectedPlan: planned?.plan?.digest ?? "" };
    const { operation } = await master.fleet.applyFleet({ fleet, options });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
  });
});

/** A real master and a real agent on engines in memory. */
describe("the images of a fleet", () => {
  let master: TestMaster;
  let folder: string;
  let worker: ScriptedWorker;
  let local: MemoryEngine;

  beforeAll(async () => {
    const catalog = await loadCatalog([ownCatalog, testCatalog]);
    folder = await mkdtemp(join(tmpdir(), "decnet-images-"));
    await chmod(folder, 0o711);
    local = createMemoryEngine({ catalog, instance: "local" });
    master = await useMaster({
      place: {
        dataDir: join(folder, "master"),
        prefix: "",
        lan: { name: "lan", subnet: "10.77.0.0/24" },
        dispose: () => rm(folder, { recursive: true, force: true }),
      },
      env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0", DECNET_DRIFT_INTERVAL_MS: "100" },
      openHostEngine: async () => local,
    });
    worker = await joinScriptedWorker({ master, name: "edge-1", folder, catalog });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    worker.engine.reset();
    await master.fleet.teardownFleet({});
  });
  afterAll(async () => {
    await worker?.stop();
    await master?.dispose();
  });

  const on = (host: string, name: string, ...slugs: string[]) => ({
    name,
    services: slugs.map((slug) => ({ slug })),
    placement: { where: { case: "host", value: host } } as const,
  });
  /** Every call for a preparation, as the deckies it names, and how many of them are over. */
  const watchPreparations = (engine: Engine, prepare: (signal: AbortSignal) => Promise<void> = async () => undefined) => {
    const seen = { deckies: [] as string[], over: 0 };
    vi.spyOn(engine, "prepareImages").mockImplementation(async (specs, signal) => {
      seen.deckies.push(
        specs
          .map(({ name }) => name)
          .sort()
          .join(" "),
      );
      await prepare(signal).finally(() => {
        seen.over += 1;
      });
      return [];
    });
    return seen;
  };
  const untilAborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

  it("are asked for once on each host, by as few deckies as name them all; not of a host where nothing is made", async () => {
    const [here, there] = [watchPreparations(local), watchPreparations(worker.engine.engine)];
    const first = [
      on("local", "a", "redis"),
      on("edge-1", "b", "redis", "http"),
      on("edge-1", "c", "redis"),
      on("edge-1", "d", "http"),
    ];
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies: first } });
    expect([here.deckies, there.deckies]).toEqual([["a"], ["b"]]);
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies: first.slice(0, 3) } });
    expect([here.deckies, there.deckies]).toEqual([["a"], ["b"]]);
  });

  it("keep no part waiting while they are prepared, here or elsewhere, and take no longer than needed", async () => {
    const [here, there] = [local, worker.engine.engine].map((engine) => watchPreparations(engine, untilAborted));
    const deckies = [on("local", "a", "redis"), on("edge-1", "b", "redis")];
    const { operation } = await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    await eventually(async () => here?.over === 1 && there?.over === 1);
  });

  it("are left to the parts when the preparation fails", async () => {
    const failing = () => Promise.reject(new AppError("ENGINE_UNAVAILABLE", "the engine is away"));
    for (const engine of [local, worker.engine.engine]) watchPreparations(engine, failing);
    const deckies = [on("local", "a", "redis"), on("edge-1", "b", "redis")];
    const { operation } = await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
  });

  it("are not prepared any more when the master stops", async () => {
    const there = watchPreparations(worker.engine.engine, untilAborted);
    const here = watchPreparations(local, untilAborted);
    const holds = ["a", "b"].map((decky) => worker.engine.holdApply(decky));
    const deckies = [on("edge-1", "a", "redis"), on("local", "c", "redis"), on("edge-1", "b", "redis")];
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies }, options: { wait: Wait.ACCEPTED } });
    await Promise.all(holds.map(({ reached }) => reached));
    await eventually(async () => here.deckies.length === 1 && there.deckies.length === 1);
    await master.restart(async () => {
      expect(here.over).toBe(1);
      await eventually(async () => there.over === 1);
    });
    for (const { release } of holds) release();
    await worker.recover();
  });
});
