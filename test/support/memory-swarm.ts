import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Catalog } from "@decnet/engine/catalog/types";
import { ownCatalog, testCatalog } from "./catalogs.ts";
import { createMemoryEngine } from "./memory-engine.ts";
import { type TestMaster, useMaster } from "./use-master.ts";

/** A real master with a real PostgreSQL that listens for workers, and makes no container. */
export interface MemorySwarm {
  readonly master: TestMaster;
  readonly catalog: Catalog;
  /** For the agents of the test. */
  readonly folder: string;
}

export async function useMemorySwarm(env: Readonly<Record<string, string>> = {}): Promise<MemorySwarm> {
  const catalog = await loadCatalog([ownCatalog, testCatalog]);
  const folder = await mkdtemp(join(tmpdir(), "decnet-swarm-"));
  await chmod(folder, 0o711);
  const master = await useMaster({
    place: {
      dataDir: join(folder, "master"),
      prefix: "",
      lan: { name: "lan", subnet: "10.77.0.0/24" },
      dispose: () => rm(folder, { recursive: true, force: true }),
    },
    // Nobody is at the address that workers learn: the line of a test is the only way, until it is cut.
    env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0", DECNET_ADVERTISE: "127.0.0.1:1", ...env },
    openHostEngine: async () => createMemoryEngine({ catalog, instance: "local" }),
  });
  return { master, catalog, folder };
}
