import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectMaster } from "@decnet/agent/connection/master-client";
import { readIdentity, writeIdentity } from "@decnet/agent/identity";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../support/scripted-worker.ts";
import { eventually, type Place, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

/** A worker goes on changing after the backup that its master comes back with. */
describe("a master that was restored from a backup", () => {
  let place: Place;
  let folder: string;
  let master: TestMaster;
  let worker: ScriptedWorker;
  let tlsPort: number;
  const decky = { name: "restored-web" };
  const cluster = () => join(place.dataDir, "postgres", "data");
  const backup = () => join(folder, "backup");

  const start = async (env: Record<string, string> = {}) => {
    const started = await useMaster({
      place: { ...place, dispose: async () => undefined },
      openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
      env: {
        DECNET_TLS_HOST: "127.0.0.1",
        DECNET_TLS_PORT: String(tlsPort ?? 0),
        // Nobody is there: the line of a test is the only way.
        DECNET_ADVERTISE: "127.0.0.1:1",
        ...env,
      },
    });
    // The worker's helper keeps the one that it was given.
    master = Object.assign(master ?? {}, started);
    tlsPort = master.tlsPort ?? 0;
  };
  const keep = (to: string) => execa("cp", ["-a", cluster(), to]);
  const restore = async (from: string) => {
    await rm(cluster(), { recursive: true });
    await execa("cp", ["-a", from, cluster()]);
  };
  const shown = async () => (await master.fleet.getDecky({ decky })).decky;
  const slugs = async () => (await shown())?.services.map(({ slug }) => slug).sort();
  const runs = async (revision: number) =>
    eventually(async () => {
      const now = await shown();
      return now?.state === DeckyState.RUNNING && now.appliedRevision === revision && now.desiredRevision === revision;
    });
  const serial = async () => (await master.swarm.getHost({ name: "edge-1" })).host?.certificateSerial ?? "";

  /**
   * The worker goes on with a certificate that was issued after the backup. It asks while nobody serves the host: beside a
   * connected agent, a second caller with its key would be refused.
   */
  const renew = async () => {
    await worker.cut();
    const stateDir = join(folder, "edge-1");
    const identity = (await readIdentity(stateDir)) ?? expect.fail("it did not join");
    const client = connectMaster(identity, `127.0.0.1:${tlsPort}`);
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "edge-1" });
    const { certificate } = await client.enrollment.renewCertificate({ csr: csrPem });
    client.close();
    await writeIdentity(stateDir, { ...identity, keyPem, certificate });
    expect(await worker.recover()).toBe(true);
  };

  beforeAll(async () => {
    place = await usePlace();
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await start();
    const catalog = await loadCatalog([ownCatalog, testCatalog]);
    worker = await joinScriptedWorker({ master, name: "edge-1", folder, catalog });
    worker.engine.watch(decky.name);
    const placement = { where: { case: "host", value: "edge-1" } } as const;
    await master.fleet.applyFleet({
      fleet: { lan: place.lan, deckies: [{ ...decky, services: [{ slug: "redis", config: { password: "first" } }], placement }] },
    });
    await master.mutations.addService({ decky, service: "http" });
    const before = await serial();
    await master.dispose();
    await keep(backup());
    await start();
    await worker.heal();
    await master.mutations.addService({ decky, service: "ftp" });
    await master.mutations.updateServiceConfig({ decky, service: "redis", config: { password: "second" } });
    await master.mutations.removeService({ decky, service: "http" });
    await runs(5);
    await renew();
    expect(await serial()).not.toBe(before);
  });
  afterAll(async () => {
    await worker?.stop();
    await master?.dispose();
    await rm(folder, { recursive: true, force: true });
    await place.dispose();
  });

  const comeBack = async (env: Record<string, string> = {}) => {
    await master.dispose();
    await restore(backup());
    await start(env);
    expect(await worker.heal()).toBe(true);
  };

  it("lets its workers in with certificates that it does not know, and says what of their deckies it does not know", async () => {
    const { applies } = worker.engine.engine.counts;
    await comeBack();
    const now = await eventually(async () => {
      const found = await shown();
      return found?.state === DeckyState.UNKNOWN && found.message.includes("r5") && found;
    });
    expect(now.message).toContain("edge-1 runs r5 of it, and the newest revision known here is r2");
    expect(now.message).toContain("DECNET_WHEN_BEHIND=adopt");
    await worker.untilReported();
    expect((await shown())?.state).toBe(DeckyState.UNKNOWN);
    // Nothing is lost: neither side is changed before somebody says which counts.
    const refusal = await master.mutations.addService({ decky, service: "telnet" }).catch(fromConnectError);
    expect(refusal).toMatchObject({ reason: "DECKY_BEHIND" });
    expect(worker.engine.engine.counts.applies).toBe(applies);
    expect((await shown())?.desiredRevision).toBe(2);
  });

  it("adopts what its workers have when it is told so: services, secrets, revisions without a gap", async () => {
    const { applies } = worker.engine.engine.counts;
    await comeBack({ DECNET_WHEN_BEHIND: "adopt" });
    await runs(5);
    expect(await slugs()).toEqual(["ftp", "redis"]);
    expect(worker.engine.engine.counts.applies).toBe(applies);
    const { revisions } = await master.fleet.listRevisions({ decky });
    expect(revisions.map(({ number }) => number)).toEqual([5, 4, 3, 2, 1]);
    expect(revisions[0]?.reason).toBe("adopted from edge-1");
    expect(revisions[1]?.reason).toMatch(/^not known here/);
    // The secret came along: the same again changes nothing.
    await master.mutations.updateServiceConfig({ decky, service: "redis", config: { password: "second" } });
    await master.mutations.addService({ decky, service: "telnet" });
    await runs(7);
    expect(await slugs()).toEqual(["ftp", "redis", "telnet"]);
  });

  it("overwrites what its workers have when it is told so", async () => {
    await comeBack({ DECNET_WHEN_BEHIND: "overwrite" });
    await runs(8);
    expect(await slugs()).toEqual(["http", "redis"]);
    await master.mutations.addService({ decky, service: "telnet" });
    await runs(9);
  });
});
