import { fileURLToPath } from "node:url";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CalledSwarm, useCalledSwarm } from "../support/called-swarm.ts";
import { type KeyAndCertificate, newMaster } from "../support/certificates.ts";
import { type RogueMaster, startRogueMaster } from "../support/rogue-master.ts";
import type { CallerIdentity, Callers } from "../support/swarm-callers.ts";
import { eventually } from "../support/use-master.ts";
import type { Swarm } from "../support/use-swarm.ts";

const grpcurl = fileURLToPath(new URL("../../build/tools/grpcurl", import.meta.url));

/** What a test changes, it makes for itself. */
describe("whoever calls a worker", () => {
  let called: CalledSwarm;
  let swarm: Swarm;
  let callers: Callers;
  let foreign: CertificateAuthority;
  let decky: { readonly name: string };
  let edge2: CallerIdentity;

  beforeAll(async () => {
    called = await useCalledSwarm();
    ({ swarm, callers, foreign, decky, edge2 } = called);
  });
  afterAll(() => called?.dispose());

  const worker = (index: number) => called.worker(index);

  describe("a master that is none", () => {
    /** An agent with the second worker's identity that looks for its master there. */
    const agentTowards = (rogue: RogueMaster) => callers.startAgent(worker(1).host, { copyOf: worker(1).host }, [rogue.address]);

    const rogues: [what: string, certificate: () => Promise<KeyAndCertificate>, ca: () => string, why: RegExp][] = [
      ["of another authority", () => newMaster(foreign), () => foreign.certPem, /self.signed|unable to/i],
      [
        "with an agent's certificate of the same authority (W-41)",
        async () => edge2,
        () => callers.authority.certPem,
        /purpose|not a master/i,
      ],
    ];

    it.each(rogues)("%s is told nothing and obeyed in nothing (W-42)", async (_, certificate, ca, why) => {
      const rogue = await startRogueMaster(swarm.lab.masterAddress, await certificate(), ca());
      callers.cleanUp(() => rogue.close());
      const agent = await agentTowards(rogue);
      await eventually(async () => why.test(await agent.says()), 60_000);
      expect(rogue.calls).toEqual([]);
      expect(rogue.isServed()).toBe(false);
    });

    it("one that somebody took over can ask for nothing that the worker's own catalog does not hold", async () => {
      const rogue = await startRogueMaster(
        swarm.lab.masterAddress,
        await newMaster(callers.authority),
        callers.authority.certPem,
      );
      callers.cleanUp(() => rogue.close());
      await agentTowards(rogue);
      await eventually(async () => rogue.isServed(), 60_000);
      const before = await worker(1).containers();
      const lan = { driver: "LAN_DRIVER_BRIDGE", name: "evil", subnet: "10.9.8.0/24", gateway: "10.9.8.1" };
      const spec = {
        ref: { name: "evil" },
        id: "e",
        revision: 1,
        hostname: "evil",
        distro: "debian",
        osFamily: "linux",
        lan,
        ip: "10.9.8.7",
        mac: "00:50:56:00:00:01",
        services: [{ slug: "redis" }],
      };
      for (const change of [
        { distro: "evil/image:latest" },
        { services: [{ slug: "../../shell" }] },
        { services: [{ slug: "sniffer" }] },
        { lan: { ...lan, name: "host" } },
        { ref: { name: "../../etc" } },
        { hostname: "$(id)" },
      ])
        for (const method of ["ApplyDeckies", "PrepareImages"]) {
          const answer = await rogue.ask(method, { deckies: [{ ...spec, ...change }] });
          expect(answer).toContain("REQUEST_INVALID");
          expect(answer).not.toContain("INTERNAL");
        }
      for (const ref of [{ name: "../x" }, { name: "" }, { name: "a", topologyId: "/" }])
        expect(await rogue.ask("RemoveDeckies", { deckies: [ref] })).toContain("REQUEST_INVALID");
      expect(await rogue.ask("StreamLogs", { decky: { name: "evil" }, service: "../../x" })).toContain("DECKY_NOT_FOUND");
      expect(await worker(1).containers()).toEqual(before);
      expect(rogue.calls).toContain("Register");
    });
  });

  describe("on the worker's own loopback", () => {
    const ask = (...args: string[]) => worker(0).host.run(grpcurl, ["-plaintext", ...args], { reject: false });

    it("grpcurl lists, describes and reads", async () => {
      const list = await ask("127.0.0.1:7441", "list");
      expect(list.stdout?.split("\n")).toEqual(
        expect.arrayContaining(["decnet.v1.AgentService", "decnet.v1.CatalogService", "grpc.health.v1.Health"]),
      );
      expect((await ask("127.0.0.1:7441", "describe", "decnet.v1.AgentService")).stdout).toContain("rpc Inspect");
      expect((await ask("127.0.0.1:7441", "describe", "decnet.v1.DeckySpec")).stdout).toContain("uint32 revision");
      expect((await ask("-d", "{}", "127.0.0.1:7441", "grpc.health.v1.Health/Check")).stdout).toContain("SERVING");
      const seen = JSON.parse((await ask("-d", "{}", "127.0.0.1:7441", "decnet.v1.AgentService/Inspect")).stdout ?? "") as {
        hostName: string;
        connected: boolean;
        deckies: { decky: { name: string } }[];
      };
      expect([seen.hostName, seen.connected, seen.deckies.map((entry) => entry.decky.name)]).toEqual([
        "edge-1",
        true,
        [decky.name],
      ]);
      for (const { name } of CatalogService.methods.filter((method) => method.name !== "GetService"))
        expect((await ask("-d", "{}", "127.0.0.1:7441", `decnet.v1.CatalogService/${name}`)).exitCode).toBe(0);
    });

    it("every method that changes or follows is refused", async () => {
      const before = await worker(0).containers();
      for (const { name } of AgentService.methods.filter((method) => method.name !== "Inspect")) {
        const answer = await ask("-d", "{}", "127.0.0.1:7441", `decnet.v1.AgentService/${name}`);
        expect([name, answer.stderr]).toEqual([name, expect.stringContaining("PermissionDenied")]);
        expect(answer.stderr).toContain("NOT_ALLOWED");
      }
      expect(await worker(0).containers()).toEqual(before);
    });

    it("nothing of it is reached from the network", async () => {
      const { address } = worker(0).host;
      const answer = await worker(1).host.run(grpcurl, ["-plaintext", "-connect-timeout", "3", `${address}:7441`, "list"], {
        reject: false,
      });
      expect(answer.exitCode).not.toBe(0);
    });
  });
});
