import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { ownCatalog, testCatalog } from "../../support/catalogs.ts";
import { createScriptedEngine, type ScriptedEngine } from "../../support/scripted-engine.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../../support/scripted-worker.ts";
import { type TestMaster, useMaster } from "../../support/use-master.ts";

/** A real master whose own engine, and whose workers' engines, do what a test says. */
export interface Stage {
  readonly master: TestMaster;
  /** Somebody else than the one who makes all the other calls. */
  readonly cancelAsOlga: (request: { id: string; reason: string }) => Promise<unknown>;
  readonly local: ScriptedEngine;
  worker(name: string): ScriptedWorker;
  /** Joins one more worker. */
  join(name: string, labels?: Readonly<Record<string, string>>): Promise<ScriptedWorker>;
  /** Heals every line and tears everything down. */
  clear(): Promise<void>;
  dispose(): Promise<void>;
}

export async function openStage(workers: readonly string[]): Promise<Stage> {
  const catalog = await loadCatalog([ownCatalog, testCatalog]);
  const folder = await mkdtemp(join(tmpdir(), "decnet-stage-"));
  await chmod(folder, 0o711);
  const dataDir = join(folder, "master");
  const local = createScriptedEngine(catalog, "local");
  const joined = new Map<string, ScriptedWorker>();
  const master = await useMaster({
    place: {
      dataDir,
      prefix: "",
      lan: { name: "lan", subnet: "10.77.0.0/24" },
      dispose: () => rm(folder, { recursive: true, force: true }),
    },
    env: {
      DECNET_TLS_HOST: "127.0.0.1",
      DECNET_TLS_PORT: "0",
      // Workers learn where the master is, and nobody is there: the line of a test is the only way, until it is cut.
      DECNET_ADVERTISE: "127.0.0.1:1",
      DECNET_DRIFT_INTERVAL_MS: "100",
    },
    openHostEngine: async () => local.engine,
  });
  const { secret: token } = await master.access.createToken({ name: "olga", role: Role.ADMIN });
  const stage: Stage = {
    master,
    async cancelAsOlga(request) {
      const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
      return createClient(OperationService, transport).cancelOperation(request).finally(close);
    },
    local,
    worker(name) {
      const found = joined.get(name);
      if (found === undefined) throw new Error(`no worker ${name}`);
      return found;
    },
    async join(name, labels = {}) {
      const worker = await joinScriptedWorker({ master, name, folder: join(folder, "agents"), catalog, labels });
      joined.set(name, worker);
      return worker;
    },
    async clear() {
      for (const [name, worker] of joined) {
        worker.engine.reset();
        if (await worker.recover()) continue;
        await worker.stop();
        joined.delete(name);
      }
      local.reset();
      const { hosts } = await master.swarm.listHosts({});
      for (const { name, draining, state } of hosts)
        if (draining && state === HostState.CONNECTED) await master.swarm.activateHost({ name });
      await master.fleet.teardownFleet({});
    },
    async dispose() {
      for (const worker of joined.values()) await worker.stop();
      await master.dispose();
    },
  };
  for (const name of workers) await stage.join(name);
  return stage;
}
