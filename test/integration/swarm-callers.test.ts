import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type CertificateAuthority, createKeyAndCsr, openAuthority } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { agentAlpn, protocolVersion } from "@decnet/common/rpc/protocol-version";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import {
  AgentFactsSchema,
  EnrollmentService,
  RegistrationService,
  ReportItemSchema,
} from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { HostState, SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalogue } from "@decnet/engine/catalogue/load";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalogue, testCatalogue } from "../support/catalogues.ts";
import { type KeyAndCertificate, longAgo, newAgent, newAuthority, newMaster } from "../support/certificates.ts";
import { type RogueMaster, startRogueMaster } from "../support/rogue-master.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

const grpcurl = fileURLToPath(new URL("../../build/tools/grpcurl", import.meta.url));
const agentProgram = fileURLToPath(new URL("../../packages/agent/src/main.ts", import.meta.url));
const hour = 3_600_000;

interface Identity extends KeyAndCertificate {
  readonly hostId: string;
  readonly installation: string;
}

describe("who may do what in a swarm", () => {
  let swarm: Swarm;
  let folder: string;
  let authority: CertificateAuthority;
  let foreign: CertificateAuthority;
  let digest: string;
  let decky: { name: string };
  let edge1: Identity;
  let edge2: Identity;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 2, slugs: ["redis"] });
    const { master } = swarm;
    folder = await mkdtemp(join(tmpdir(), "decnet-callers-"));
    decky = { name: `${master.prefix}-a` };
    await master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: [{ name: decky.name, services: [{ slug: "redis" }], placement: { where: { case: "host", value: "edge-1" } } }],
      },
    });
    [edge1, edge2] = [await readState(worker(0)), await readState(worker(1))];
    const pki = join(master.config.dataDir, "pki");
    authority = await openAuthority({
      certPem: await readFile(join(pki, "ca.pem"), "utf8"),
      keyPem: await readFile(join(pki, "ca.key"), "utf8"),
      installation: edge1.installation,
    });
    foreign = await newAuthority();
    digest = (await loadCatalogue([ownCatalogue, testCatalogue])).digest;
  });

  afterAll(async () => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
    await swarm?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  function worker(index: number): Worker {
    const found = swarm.workers[index];
    if (found === undefined) throw new Error(`no worker ${index}`);
    return found;
  }

  async function readState({ host }: Worker): Promise<Identity> {
    const identity = JSON.parse(await readFile(join(host.stateDir, "identity.json"), "utf8")) as {
      certificate: string;
      hostId: string;
      installation: string;
      keyFile: string;
    };
    const keyPem = await readFile(join(host.stateDir, identity.keyFile), "utf8");
    return { keyPem, certPem: identity.certificate, hostId: identity.hostId, installation: identity.installation };
  }

  const tlsAddress = () => `${swarm.lab.masterAddress}:${swarm.master.tlsPort}`;

  /** Calls to the master's TLS port, with or without a certificate and a bearer token. */
  function callAs(who: KeyAndCertificate | undefined, token = "") {
    const own = who === undefined ? {} : { certPem: who.certPem, keyPem: who.keyPem };
    const client = createClientTransport({
      address: `https://${tlsAddress()}`,
      token,
      tls: { caPem: authority.certPem, ...own },
    });
    cleanups.push(client.close);
    const { transport } = client;
    return {
      enrollment: createClient(EnrollmentService, transport),
      registration: createClient(RegistrationService, transport),
      mutations: createClient(MutationService, transport),
      swarm: createClient(SwarmService, transport),
      access: createClient(AccessService, transport),
    };
  }

  async function refusalOf(call: Promise<unknown>): Promise<{ reason: string; message: string; code: Code }> {
    const failure: unknown = await call.then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) throw new Error("it was taken");
    const { reason, message } = fromConnectError(failure);
    return { reason, message, code: ConnectError.from(failure).code };
  }

  const facts = (change: MessageInitShape<typeof AgentFactsSchema> = {}) =>
    create(AgentFactsSchema, {
      agentVersion: "test",
      protocolVersion,
      catalogueDigest: digest,
      clock: timestampFromDate(new Date()),
      machineName: "a-machine",
      ...change,
    });

  const audited = async (filter: string) =>
    (await swarm.master.access.listAudit({ filter, pageSize: 200 })).entries.map(({ actor, target }) => [actor, target] as const);

  /** A worker that is a certificate and nothing else. */
  async function enrol(name: string): Promise<Identity & { secret: string; csr: string }> {
    const { secret } = await swarm.master.swarm.createJoinToken({ hostName: name });
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: name });
    const { id, secret: word } = parseJoinToken(secret);
    const request = { tokenId: id, tokenSecret: word, csr: csrPem, facts: facts() };
    const answer = await callAs(undefined).enrollment.enroll(request);
    return { ...answer, certPem: answer.certificate, keyPem, secret, csr: csrPem };
  }

  const enrolAgain = ({ secret, csr }: { secret: string; csr: string }) => {
    const { id, secret: word } = parseJoinToken(secret);
    return callAs(undefined).enrollment.enroll({ tokenId: id, tokenSecret: word, csr, facts: facts() });
  };

  /** Opens a connection as agents do to be served on. */
  async function openLink(who: KeyAndCertificate | undefined): Promise<{ closed: Promise<void>; socket: tls.TLSSocket }> {
    const own = who === undefined ? {} : { cert: who.certPem, key: who.keyPem };
    const socket = tls.connect({
      host: swarm.lab.masterAddress,
      port: swarm.master.tlsPort,
      ca: authority.certPem,
      ALPNProtocols: [agentAlpn],
      ...own,
    });
    cleanups.push(() => socket.destroy());
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => socket.destroy()).resume();
    await new Promise<void>((resolve) => socket.once("secureConnect", resolve).once("close", resolve));
    return { closed, socket };
  }

  const connection = async (name: string) => {
    const { host } = await swarm.master.swarm.getHost({ name });
    return [host?.state, host?.connectedSince?.seconds, host?.connectedSince?.nanos];
  };

  describe("with a certificate that does not count", () => {
    const wrong: [what: string, who: () => Promise<KeyAndCertificate | undefined>, actor: string][] = [
      ["none", async () => undefined, ""],
      ["one of a foreign authority", () => newAgent(foreign, edge1.hostId), ""],
      ["one of a foreign authority that is over", () => newAgent(foreign, edge1.hostId, longAgo), ""],
      ["one that is over", () => newAgent(authority, edge1.hostId, { ...longAgo, ttlMs: hour }), "host edge-1"],
      ["one that the master did not give out", () => newAgent(authority, edge1.hostId), "host edge-1"],
      ["a master's", () => newMaster(authority), ""],
    ];

    it.each(wrong)("%s, every call of agents is refused, and on record", async (_, who, actor) => {
      const { registration, enrollment } = callAs(await who());
      const { csrPem } = await createKeyAndCsr({ commonName: "x" });
      for (const call of [
        () => registration.register({ facts: facts(), instanceId: "i", reportStream: "s" }),
        () => registration.report({ reportStream: "s" }),
        () => enrollment.renewCertificate({ csr: csrPem }),
      ]) {
        const { reason, code } = await refusalOf(call());
        expect([reason, code]).toEqual(["CERTIFICATE_REFUSED", Code.Unauthenticated]);
      }
      for (const method of ["RegistrationService/Register", "RegistrationService/Report", "EnrollmentService/RenewCertificate"])
        expect((await audited(`action=decnet.v1.${method},outcome=CERTIFICATE_REFUSED`)).map(([by]) => by)).toContain(actor);
    });

    it.each(wrong)("%s, a connection to be served on is hung up, and on record", async (_, who, actor) => {
      const { closed } = await openLink(await who());
      await closed;
      await eventually(async () =>
        (await audited(`action=${agentAlpn},outcome=CERTIFICATE_REFUSED`)).some(([by]) => by === actor),
      );
      expect((await connection("edge-1"))[0]).toBe(HostState.CONNECTED);
    });
  });

  it("an operator's token does not make the calls of agents, not even beside a good certificate", async () => {
    const { master } = swarm;
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    for (const who of [undefined, edge1]) {
      const { registration, enrollment } = callAs(who, master.token);
      for (const call of [
        () => registration.register({ facts: facts() }),
        () => registration.report({}),
        () => enrollment.renewCertificate({ csr: csrPem }),
      ])
        expect((await refusalOf(call())).reason).toBe("NOT_ALLOWED");
    }
    const who = await audited("action=decnet.v1.RegistrationService/Register,outcome=NOT_ALLOWED");
    expect(who.map(([by]) => by)).toContain("host edge-1");
  });

  it("an agent's certificate does not make the calls of operators, and the attempt has the host's name", async () => {
    const { mutations, access, swarm: hosts } = callAs(edge2);
    expect((await refusalOf(mutations.addService({ decky, service: "http" }))).reason).toBe("UNAUTHENTICATED");
    expect((await refusalOf(hosts.decommissionHost({ name: "edge-1" }))).reason).toBe("UNAUTHENTICATED");
    expect((await refusalOf(hosts.createJoinToken({ hostName: "x" }))).reason).toBe("UNAUTHENTICATED");
    expect((await refusalOf(access.listAudit({}))).reason).toBe("UNAUTHENTICATED");
    expect(await audited("action=decnet.v1.MutationService/AddService,outcome=UNAUTHENTICATED")).toEqual([
      ["host edge-2", `${decky.name}/http`],
    ]);
    expect(await audited("action=decnet.v1.SwarmService/DecommissionHost,outcome=UNAUTHENTICATED")).toEqual([
      ["host edge-2", "edge-1"],
    ]);
  });

  describe("a join token", () => {
    it("is taken again from the same key, for the same host, and from no other key", async () => {
      const first = await enrol("twice");
      expect((await enrolAgain(first)).hostId).toBe(first.hostId);
      const other = await createKeyAndCsr({ commonName: "other" });
      expect((await refusalOf(enrolAgain({ ...first, csr: other.csrPem }))).reason).toBe("TOKEN_USED");
      const { refused } = await swarm.master.swarm.listRefusedJoins({});
      expect(refused[0]).toMatchObject({ reason: "TOKEN_USED", hostName: "twice", machineName: "a-machine" });
      expect(await audited("action=decnet.v1.EnrollmentService/Enroll,outcome=TOKEN_USED")).toHaveLength(1);
      expect((await audited("action=decnet.v1.EnrollmentService/Enroll,outcome=accepted")).map(([by]) => by)).toContain(
        "host twice",
      );
    });

    it("of a decommissioned host gives no certificate any more, not even to its own key", async () => {
      const host = await enrol("gone");
      await swarm.master.swarm.decommissionHost({ name: "gone", force: true });
      expect((await refusalOf(enrolAgain(host))).reason).toBe("TOKEN_REVOKED");
      expect((await refusalOf(swarm.master.swarm.getHost({ name: "gone" }))).reason).toBe("HOST_NOT_FOUND");
    });

    it("of a worker that joined again with a newer one is over, and so is its certificate", async () => {
      const first = await enrol("back");
      const second = await enrol("back");
      expect(second.hostId).toBe(first.hostId);
      expect((await refusalOf(enrolAgain(first))).reason).toBe("TOKEN_REVOKED");
      const call = callAs(first).registration.report({ reportStream: "s" });
      expect((await refusalOf(call)).message).toBe("the certificate is revoked");
    });

    it("is refused over plaintext, and a wrong secret tells nothing about this master", async () => {
      const { secret } = await swarm.master.swarm.createJoinToken({ hostName: "plain" });
      const { id, secret: word } = parseJoinToken(secret);
      const { csrPem } = await createKeyAndCsr({ commonName: "x" });
      const plain = createClientTransport({ address: `http://127.0.0.1:${swarm.master.port}`, token: "" });
      cleanups.push(plain.close);
      const enrollment = createClient(EnrollmentService, plain.transport);
      const request = { tokenId: id, tokenSecret: word, csr: csrPem, facts: facts() };
      expect((await refusalOf(enrollment.enroll(request))).reason).toBe("CERTIFICATE_REFUSED");
      const guess = { ...request, tokenSecret: "guess", facts: facts({ catalogueDigest: "x", protocolVersion: 9 }) };
      expect((await refusalOf(callAs(undefined).enrollment.enroll(guess))).reason).toBe("TOKEN_INVALID");
    });
  });

  describe("a report", () => {
    it("about another host's decky is refused, and nothing of it is stored (W-46)", async () => {
      const { master } = swarm;
      await worker(1).stop("SIGTERM");
      const { registration } = callAs(edge2);
      await registration.register({ facts: facts(), instanceId: "forger", reportStream: "forged" });
      const before = await master.fleet.getDecky({ decky });
      const observation = { decky, revision: 99, state: 5, message: "taken over", services: [] };
      const items = [
        create(ReportItemSchema, { sequence: 1n, item: { case: "engine", value: { problem: "a lie in the same report" } } }),
        create(ReportItemSchema, { sequence: 2n, item: { case: "observation", value: observation } }),
      ];
      expect((await refusalOf(registration.report({ reportStream: "forged", items }))).reason).toBe("DECKY_NOT_ON_HOST");
      const repair = { decky, cause: "forged", outcome: { decky }, steps: [] };
      const repaired = create(ReportItemSchema, { sequence: 1n, item: { case: "repair", value: repair } });
      expect((await refusalOf(registration.report({ reportStream: "forged", items: [repaired] }))).reason).toBe(
        "DECKY_NOT_ON_HOST",
      );
      const after = await master.fleet.getDecky({ decky });
      expect([after.decky?.host, after.decky?.message, after.decky?.state]).toEqual([
        "edge-1",
        before.decky?.message,
        before.decky?.state,
      ]);
      expect((await master.swarm.getHost({ name: "edge-2" })).host?.message).toBe("");
      const { operations } = await master.operations.listOperations({ filter: "kind=repair" });
      expect(operations).toEqual([]);
      expect(await audited("outcome=DECKY_NOT_ON_HOST")).toContainEqual(["host edge-2", ""]);
    });

    it("of another stream, or with numbers, times and texts that are none, is refused or read as what it can be", async () => {
      const { registration } = callAs(edge2);
      await registration.register({ facts: facts(), instanceId: "forger", reportStream: "mine" });
      const send = (reportStream: string, sequence: bigint, problem = "") =>
        registration.report({
          reportStream,
          items: [create(ReportItemSchema, { sequence, item: { case: "engine", value: { problem } } })],
        });
      expect((await refusalOf(send("another", 1n))).reason).toBe("REQUEST_INVALID");
      expect((await refusalOf(send("mine", 2n ** 64n - 1n))).reason).toBe("REQUEST_INVALID");
      expect((await refusalOf(send("mine", 0n))).reason).toBe("REQUEST_INVALID");
      for (const bad of [{ clock: { seconds: 2n ** 62n } }, { clock: { seconds: -9n } }, { machineName: "x".repeat(70_000) }]) {
        const call = registration.register({ facts: facts(bad), instanceId: "i", reportStream: "mine" });
        expect((await refusalOf(call)).reason).toBe("REQUEST_INVALID");
      }
      const stream = registration.register({ facts: facts(), instanceId: "i", reportStream: "\u0000" });
      expect((await refusalOf(stream)).reason).toBe("REQUEST_INVALID");
      await send("mine", 1n, "\u0000\u001b[2Jboo");
      const { host } = await swarm.master.swarm.getHost({ name: "edge-2" });
      expect(host?.message).toBe("its engine does not answer: ??[2Jboo");
    });

    it("is taken from the real agent again when it is back", async () => {
      await worker(1).start();
      await eventually(async () => (await swarm.master.swarm.getHost({ name: "edge-2" })).host?.message === "");
    });
  });

  describe("two agents with one identity", () => {
    it("the second one is refused by name, and the first one goes on undisturbed", async () => {
      const { master } = swarm;
      const before = { connection: await connection("edge-1"), containers: await worker(0).containers() };
      const copy = join(folder, "copy");
      await cp(worker(0).host.stateDir, copy, { recursive: true, filter: (from) => !/\/(specs|deckies)$/.test(from) });
      const second = worker(1).host.spawn(process.execPath, ["--import", "tsx", "--conditions=source", agentProgram, "run"], {
        DECNET_AGENT_DIR: copy,
        DECNET_AGENT_PORT: "7555",
        DECNET_DOCKER_SOCKET: worker(1).host.socket,
        DECNET_CATALOGUE: testCatalogue,
        DECNET_LOG_LEVEL: "error",
      });
      cleanups.push(() => second.kill("SIGKILL"));
      const message = await eventually(async () => {
        const { host } = await master.swarm.getHost({ name: "edge-1" });
        return host?.message.includes("a second agent") === true ? host.message : undefined;
      }, 60_000);
      expect(message).toContain(worker(1).host.address);
      const answer = await worker(1).host.run("curl", ["-s", "http://127.0.0.1:7555/"]);
      expect(answer.stdout).toContain("HOST_ALREADY_CONNECTED");
      second.kill("SIGTERM");
      expect(await audited("outcome=HOST_ALREADY_CONNECTED")).toContainEqual(["host edge-1", ""]);
      const { closed } = await openLink(edge1);
      await closed;
      const refused = await eventually(async () => {
        const found = await audited(`action=${agentAlpn},outcome=HOST_ALREADY_CONNECTED`);
        return found.length > 0 ? found : undefined;
      });
      expect(refused).toEqual([["host edge-1", "edge-1"]]);
      expect(await connection("edge-1")).toEqual(before.connection);
      expect(await worker(0).containers()).toEqual(before.containers);
    });

    it("a thief's certificate leads to no further one while the owner is connected, and ends with the owner's next", async () => {
      const csr = async () => (await createKeyAndCsr({ commonName: "thief" })).csrPem;
      const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "thief" });
      const { certificate } = await callAs(edge1).enrollment.renewCertificate({ csr: csrPem });
      const thief = callAs({ keyPem, certPem: certificate });
      expect((await refusalOf(thief.enrollment.renewCertificate({ csr: await csr() }))).reason).toBe("HOST_ALREADY_CONNECTED");
      await callAs(edge1).enrollment.renewCertificate({ csr: await csr() });
      expect((await refusalOf(thief.registration.report({ reportStream: "s" }))).message).toBe("the certificate is revoked");
    });
  });

  describe("a master that is none", () => {
    /** An agent with the second worker's identity that looks for its master at one address; answers what it says about its connection. */
    async function agentTowards(rogue: RogueMaster, port: string): Promise<() => Promise<string>> {
      const state = join(folder, `rogue-${port}`);
      const filter = (from: string) => !/\/(specs|deckies|reports)$/.test(from);
      await cp(worker(1).host.stateDir, state, { recursive: true, filter });
      const file = join(state, "identity.json");
      const identity = JSON.parse(await readFile(file, "utf8")) as object;
      await writeFile(file, JSON.stringify({ ...identity, masters: [rogue.address] }));
      const agent = worker(1).host.spawn(process.execPath, ["--import", "tsx", "--conditions=source", agentProgram, "run"], {
        DECNET_AGENT_DIR: state,
        DECNET_AGENT_PORT: port,
        DECNET_DOCKER_SOCKET: worker(1).host.socket,
        DECNET_CATALOGUE: testCatalogue,
        DECNET_LOG_LEVEL: "error",
      });
      cleanups.push(() => agent.kill("SIGKILL"));
      return async () => (await worker(1).host.run("curl", ["-s", `http://127.0.0.1:${port}/`], { reject: false })).stdout ?? "";
    }

    const rogues: [what: string, certificate: () => Promise<KeyAndCertificate>, ca: () => string, why: RegExp][] = [
      ["of another authority", () => newMaster(foreign), () => foreign.certPem, /self.signed|unable to/i],
      [
        "with an agent's certificate of the same authority (W-41)",
        async () => edge2,
        () => authority.certPem,
        /purpose|not a master/i,
      ],
    ];

    it.each(rogues)("%s is told nothing and obeyed in nothing (W-42)", async (_, certificate, ca, why) => {
      const rogue = await startRogueMaster(swarm.lab.masterAddress, await certificate(), ca());
      cleanups.push(() => rogue.close());
      const said = await agentTowards(rogue, String(7600 + cleanups.length));
      await eventually(async () => why.test(await said()), 60_000);
      expect(rogue.calls).toEqual([]);
      expect(rogue.isServed()).toBe(false);
    });

    it("one that somebody took over can ask for nothing that the worker's own catalogue does not hold", async () => {
      const rogue = await startRogueMaster(swarm.lab.masterAddress, await newMaster(authority), authority.certPem);
      cleanups.push(() => rogue.close());
      await agentTowards(rogue, "7699");
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

  it("a host that is connected, away or draining is no place for what its state forbids", async () => {
    const { master } = swarm;
    expect((await refusalOf(master.swarm.createJoinToken({ hostName: "edge-1" }))).reason).toBe("HOST_EXISTS");
    const idle = await enrol("idle");
    const { secret } = await master.swarm.createJoinToken({ hostName: "idle" });
    const { socket, closed } = await openLink(idle);
    await eventually(async () => (await connection("idle"))[0] === HostState.CONNECTED);
    const other = await createKeyAndCsr({ commonName: "other" });
    expect((await refusalOf(enrolAgain({ secret, csr: other.csrPem }))).reason).toBe("HOST_EXISTS");
    socket.destroy();
    await closed;
    await eventually(async () => (await connection("idle"))[0] !== HostState.CONNECTED);
    expect((await refusalOf(master.swarm.decommissionHost({ name: "idle" }))).reason).toBe("HOST_UNREACHABLE");
    await master.swarm.drainHost({ name: "idle" });
    const placed = { name: `${master.prefix}-b`, placement: { where: { case: "host", value: "idle" } } } as const;
    const deckies = [{ ...placed, services: [{ slug: "redis" }] }];
    const fleet = { lan: master.lan, deckies };
    expect((await refusalOf(master.fleet.applyFleet({ fleet, options: { dryRun: true } }))).reason).toBe("HOST_DRAINING");
  });

  it("decommissioning cuts open connections at once, and what was revoked stays out", { timeout: 180_000 }, async () => {
    const { master } = swarm;
    const bare = await enrol("bare");
    const link = await openLink(bare);
    await eventually(async () => (await connection("bare"))[0] === HostState.CONNECTED);
    const since = Date.now();
    const ended = link.closed.then(() => Date.now() - since);
    await master.swarm.decommissionHost({ name: "bare", force: true });
    expect(await ended).toBeLessThan(5_000);
    const { closed } = await openLink(bare);
    await closed;
    await eventually(async () =>
      (await audited(`action=${agentAlpn},outcome=CERTIFICATE_REFUSED`)).some(([by]) => by === "host bare"),
    );

    await master.swarm.decommissionHost({ name: "edge-2", force: true });
    const { hosts } = await master.swarm.listHosts({ filter: "state=decommissioned,name=edge-2" });
    expect(hosts).toHaveLength(1);
    const status = await eventually(async () => {
      const { stdout } = await worker(1).agent("status");
      return stdout.includes("CERTIFICATE_REFUSED") ? stdout : undefined;
    }, 60_000);
    expect(status).toContain("decnet host invite");
  });
});
