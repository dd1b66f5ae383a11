import { loadCatalog } from "@decnet/engine/catalog/load";
import { openEngine } from "@decnet/engine/engine";
import { engineSettings } from "@decnet/engine/settings";
import type { AgentConfig } from "./config.ts";
import type { AgentIdentity } from "./identity.ts";

/** Removes everything of ours from this host's engine. The agent must not run meanwhile. */
export async function leaveHost(config: AgentConfig, identity: AgentIdentity, onProgress: (what: string) => void): Promise<void> {
  const engine = await openEngine({
    instance: identity.hostId,
    dataDir: config.stateDir,
    catalog: await loadCatalog(config.catalogFolders),
    fingerprint: (text) => text,
    ...engineSettings(config),
  });
  const { strays } = await engine.check([]);
  for (const { scope, name } of strays) {
    const { failure } = await engine.apply(
      { kind: "absent", scope, name },
      { expectedDigest: "", onPlan: () => undefined, onStep: () => undefined, signal: new AbortController().signal },
    );
    if (failure !== undefined) throw new Error(`${name} could not be removed: ${failure.message}`);
    onProgress(`removed ${name}`);
  }
}
