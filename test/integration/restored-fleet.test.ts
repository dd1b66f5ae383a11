import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { ObservedContainer } from "@decnet/engine/observe/observed";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../support/scripted-worker.ts";
import { eventually, type Place, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

/** What a fleet did after the backup that its master comes back with: deckies were made, and moved to another worker. */
describe("a master that was restored into a fleet that went on without it", () => {
  let place: Place;
  let folder: string;
  let master: TestMaster;
  let tlsPort = 0;
  const workers: ScriptedWorker[] = [];
  const cluster = () => join(place.dataDir, "postgres", "data");
  const backup = () => join(folder, "backup");
  const moved = { name: "moved" };
  const worker = (name: string) => workers.find((each) => each.name === name) ?? expect.fail(name);

  const start = async (env: Record<string, string> = {}) => {
    const started = await useMaster({
      place: { ...place, dispose: async () => undefined },
      openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
      env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: String(tlsPort), DECNET_ADVERTISE: "127.0.0.1:1", ...env },
    });
    // Its workers' helpers keep the one that they were given.
    master = Object.assign(master ?? {}, started);
    tlsPort = master.tlsPort ?? 0;
  };
  const apply = (hosts: Readonly<Record<string, string>>) =>
    master.fleet.applyFleet({
      fleet: {
        lan: place.lan,
        deckies: Object.entries(hosts).map(([name, host]) => ({
          name,
          services: [{ slug: "redis" }],
          placement: { where: { case: "host", value: host } },
        })),
      },
    });
  const comeBack = async (env: Record<string, string> = {}) => {
    // The worker that the backup knows of comes back after the one that has the decky by now.
    await worker("edge-1").cut();
    await master.dispose();
    await rm(cluster(), { recursive: true });
    await execa("cp", ["-a", backup(), cluster()]);
    await start(env);
    for (const name of ["edge-2", "edge-1"]) expect(await worker(name).heal()).toBe(true);
    for (const each of workers) await each.untilReported();
  };
  const containersOf = (host: string, decky: string) => {
    let seen: readonly ObservedContainer[] = [];
    worker(host).engine.engine.alter(`fleet/${decky}`, (containers) => (seen = containers));
    return seen;
  };
  const messageOf = async (name: string) => (await master.swarm.getHost({ name })).host?.message ?? "";

  beforeAll(async () => {
    place = await usePlace();
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await start();
    const catalog = await loadCatalog([ownCatalog, testCatalog]);
    for (const name of ["edge-1", "edge-2"]) workers.push(await joinScriptedWorker({ master, name, folder, catalog }));
    for (const each of workers) for (const name of ["moved", "made"]) each.engine.watch(name);
    await apply({ moved: "edge-1" });
    await master.dispose();
    await execa("cp", ["-a", cluster(), backup()]);
    await start();
    for (const each of workers) await each.heal();
    await apply({ moved: "edge-2", made: "edge-2" });
    await master.mutations.addService({ decky: moved, service: "http" });
    await eventually(async () => containersOf("edge-1", "moved").length === 0 && containersOf("edge-2", "made").length > 0);
  });
  afterAll(async () => {
    for (const each of workers) await each.stop();
    await master?.dispose();
    await rm(folder, { recursive: true, force: true });
    await place.dispose();
  });

  it("removes nothing that it never heard of, and says so", async () => {
    const before = { moved: containersOf("edge-2", "moved"), made: containersOf("edge-2", "made") };
    expect(before.moved.length).toBe(3);
    await comeBack();
    const message = await eventually(async () => {
      const said = await messageOf("edge-2");
      return said.includes("made") && said;
    });
    expect(message).toMatch(/made.*not known here/);
    expect(containersOf("edge-2", "made")).toEqual(before.made);
    expect(containersOf("edge-2", "moved")).toEqual(before.moved);
  });

  it("does not make a decky twice that lives on another worker by now, before somebody says which of them counts", async () => {
    const { decky } = await master.fleet.getDecky({ decky: moved });
    expect(decky?.state).toBe(DeckyState.UNKNOWN);
    expect(decky?.message).toMatch(/^edge-2 runs r\d of it, and the newest revision known here is r1/);
    const refusal = await master.mutations.addService({ decky: moved, service: "telnet" }).catch(fromConnectError);
    expect(refusal).toMatchObject({ reason: "DECKY_BEHIND" });
    expect(containersOf("edge-1", "moved")).toEqual([]);
  });

  it("has what the backup knows, and nothing else, when it is told to overwrite what its workers have", async () => {
    await comeBack({ DECNET_WHEN_BEHIND: "overwrite" });
    await eventually(async () => {
      const { decky } = await master.fleet.getDecky({ decky: moved });
      return decky?.state === DeckyState.RUNNING && decky.host === "edge-1" && decky.desiredRevision === decky.appliedRevision;
    });
    expect(containersOf("edge-1", "moved").length).toBe(2);
    await eventually(async () => containersOf("edge-2", "moved").length + containersOf("edge-2", "made").length === 0);
  });
});
