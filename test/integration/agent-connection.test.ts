import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { parseAgentConfig } from "@decnet/agent/config";
import { type Agent, startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { agentAlpn } from "@decnet/common/protocol-version";
import { startRpcServer } from "@decnet/common/rpc/server";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { newAgent, newAuthority, newMaster } from "../support/certificates.ts";
import { eventually } from "../support/use-master.ts";

/** An agent, and servers that play its master. */
describe("an agent", () => {
  let authority: CertificateAuthority;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    authority = await newAuthority();
  });
  afterEach(async () => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
  });

  async function start(masters: string[], validity: { ttlMs?: number; now?: Date } = {}): Promise<Agent> {
    const folder = await mkdtemp(join(tmpdir(), "decnet-agent-"));
    const { keyPem, certPem } = await newAgent(authority, "h-1", validity);
    const config = parseAgentConfig(
      {
        DECNET_AGENT_DIR: folder,
        DECNET_AGENT_PORT: "0",
        DECNET_CATALOGUE: testCatalog,
        DECNET_DOCKER_SOCKET: "/run/none.sock",
      },
      ownCatalog,
    );
    const identity = {
      hostId: "h-1",
      hostName: "edge",
      installation: "lab",
      masters,
      certificate: certPem,
      caCertificate: authority.certPem,
      keyPem,
    };
    const agent = await startAgent({
      config,
      identity,
      log: createLogger("test", "fatal"),
      version: "test",
      openHostEngine: () => Promise.reject(new Error("no engine")),
    });
    cleanups.push(() => rm(folder, { recursive: true, force: true }));
    return agent;
  }

  /** Notes when agents register, and does then as told. */
  async function serve(register: (count: number) => void) {
    const registered: number[] = [];
    const links: { end(): void }[] = [];
    const server = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      routes: (router) => {
        router.service(RegistrationService, {
          register() {
            registered.push(performance.now());
            register(registered.length);
            return { hostName: "edge" };
          },
          report: () => ({}),
        });
        router.service(EnrollmentService, {
          async renewCertificate({ csr }) {
            const { certPem } = await authority.issueAgent({
              csrPem: csr,
              hostId: "h-1",
              hostName: "edge",
              ttlMs: 3_600_000,
              now: new Date(),
            });
            return { certificate: certPem };
          },
        });
      },
      interceptors: [],
      fallback: (_, response) => response.writeHead(404).end(),
      graceMs: 100,
      tls: {
        host: "127.0.0.1",
        port: 0,
        ...(await newMaster(authority)),
        caPem: authority.certPem,
        takeover: {
          alpn: agentAlpn,
          accept(socket) {
            links.push({ end: () => socket.destroy() });
            socket.on("error", () => undefined).resume();
          },
        },
      },
    });
    cleanups.push(() => server.close());
    cleanups.push(() => {
      for (const link of links) link.end();
    });
    return { registered, links, address: `127.0.0.1:${server.tlsPort}` };
  }

  it("pauses after each refusal, also one with the words of its own renewal", async () => {
    const { registered, address } = await serve(() => {
      throw new ConnectError("the certificate was renewed", Code.Unavailable);
    });
    const agent = await start([address]);
    cleanups.push(() => agent.stop());
    await eventually(async () => registered.length >= 4);
    // At least half of each pause, which doubles from half a second on.
    const [first = 0, second = 0, third = 0, fourth = 0] = registered;
    expect(second - first).toBeGreaterThanOrEqual(240);
    expect(third - second).toBeGreaterThanOrEqual(490);
    expect(fourth - third).toBeGreaterThanOrEqual(990);
  });

  it("comes back to the same master when its certificate was renewed", async () => {
    const { registered, address } = await serve(() => undefined);
    const other = await serve(() => undefined);
    // Two thirds of its life are over.
    const agent = await start([address, other.address], { ttlMs: 6_000, now: new Date(Date.now() - 3_500) });
    cleanups.push(() => agent.stop());
    await eventually(async () => registered.length >= 2);
    expect(other.registered).toEqual([]);
  });
});
