import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { joinSwarm } from "@decnet/agent/join";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { factsOf } from "../support/agent-facts.ts";
import { attacks, type Target } from "../support/attacks.ts";
import { ownCatalog } from "../support/catalogs.ts";
import { freePort } from "../support/free-ports.ts";
import { type KillableAgent, startKillableAgent } from "../support/killable-agent.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { startAttacks } from "../support/under-attack.ts";
import { eventually } from "../support/use-master.ts";

/** Whoever is in a decoy calls from its worker's own address: the master cannot tell them apart until one proves who it is. */
describe("a worker whose address an attacker has as well", () => {
  const patienceMs = 30_000;
  let dataDir: string;
  let master: KillableMaster;
  let agent: KillableAgent | undefined;
  let target: Target;
  let digest: string;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(dataDir, 0o711);
    ({ digest } = await loadCatalog([ownCatalog]));
    const tlsPort = await freePort();
    master = await startKillableMaster(dataDir, {
      ...{ DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: String(tlsPort), DECNET_ADVERTISE: "127.0.0.1" },
      DECNET_DRIFT_INTERVAL_MS: "3600000",
    });
    target = { port: master.port, tlsPort };
    agent = await startKillableAgent(master, { name: "edge-1", stateDir: join(dataDir, "edge-1"), env: {} });
    await isConnected();
  });
  afterAll(async () => {
    await agent?.stop();
    await master?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const isConnected = (since = 0) =>
    eventually(async () => {
      const edge = (await master.clients.swarm.listHosts({})).hosts.find(({ name }) => name === "edge-1");
      const at = edge?.connectedSince === undefined ? Number.NaN : timestampMs(edge.connectedSince);
      return edge?.state === HostState.CONNECTED && at >= since;
    }, patienceMs);

  const kinds = ["bodies|joins", "streams|reflection", "calls", "connections|readyz|headers", "handshakes|frames"];

  it.each(kinds.map((kind, at) => ({ kind, name: `new-${at}` })))(
    "comes back when its agent was killed, and another one joins, under: $kind",
    async ({ kind, name }) => {
      const { secret: token } = await master.clients.swarm.createJoinToken({ hostName: name });
      const running = await startAttacks(
        attacks.filter((each) => new RegExp(kind).test(each.name)),
        target,
      );
      onTestFinished(() => running.end());
      const since = Date.now();
      await agent?.kill();
      await isConnected(since);
      const facts = factsOf(name, digest);
      expect(await joinSwarm({ token, facts, onProgress: () => undefined, patienceMs })).toMatchObject({ hostName: name });
    },
  );
});
