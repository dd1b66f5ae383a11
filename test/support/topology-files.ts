import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDocument } from "@decnet/cli/documents/document";
import { settingsRules } from "@decnet/cli/documents/parse-settings";
import { toMessage } from "@decnet/cli/documents/to-message";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type Topology, TopologyFileSchema } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { expect } from "vitest";
import { createMemoryEngine } from "./memory-engine.ts";
import { useMaster } from "./use-master.ts";

/** A design that can be deployed, as people write it. */
export const corpFile = `name: corp
lans:
  - name: dmz
    subnet: 10.231.0.0/24
    isDmz: true
  - name: core
    subnet: 10.231.1.0/24
deckies:
  - name: gateway
    forwards: true
    services:
      - slug: ssh
        config:
          user: maria
    attachments:
      - lan: dmz
        ip: 10.231.0.2
        mac: 00:50:56:01:02:03
      - lan: core
        ip: 10.231.1.2
        mac: 00:50:56:01:02:04
  - name: inner
    archetype: ""
    services:
      - slug: http
      - slug: redis
    attachments:
      - lan: core
        ip: 10.231.1.3
        mac: 00:50:56:01:02:05
`;

/** The reason of a refusal; empty for none. */
export function reasonOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "",
    (error: unknown) => fromConnectError(error).reason as string,
  );
}

/** A master whose engine keeps its containers in memory, and topologies read from files. */
export async function useTopologyFiles() {
  const folder = await mkdtemp(join(tmpdir(), "decnet-topology-"));
  const master = await useMaster({
    env: { DECNET_DRIFT_INTERVAL_MS: "600000" },
    openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
  });
  const designOf = async (text: string) => {
    const path = join(folder, "topology.yaml");
    await writeFile(path, text);
    const rules = await settingsRules({ catalog: master.catalog } as Parameters<typeof settingsRules>[0], {});
    return toMessage(openDocument(path), TopologyFileSchema, rules);
  };
  return {
    master,
    name: (suffix: string) => `${master.prefix}-${suffix}`,
    read: async (topology: string): Promise<Topology> =>
      (await master.topologies.getTopology({ topology })).topology ?? expect.fail("no topology"),
    designOf,
    async importOf(text: string, as: string) {
      const { lans, deckies } = await designOf(text);
      return master.topologies.createTopology({ name: as, design: { lans, deckies } });
    },
    async dispose() {
      await master.dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type TopologyFiles = Awaited<ReturnType<typeof useTopologyFiles>>;
