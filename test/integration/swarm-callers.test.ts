import { create } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { type CertificateAuthority, createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { agentAlpn } from "@decnet/common/protocol-version";
import { createClientTransport } from "@decnet/common/rpc/client";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { EnrollmentService, ReportItemSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CalledSwarm, useCalledSwarm } from "../support/called-swarm.ts";
import { type KeyAndCertificate, longAgo, newAgent, newMaster } from "../support/certificates.ts";
import { type CallerIdentity, type Callers, refusalOf } from "../support/swarm-callers.ts";
import { eventually } from "../support/use-master.ts";
import type { Swarm } from "../support/use-swarm.ts";

const hour = 3_600_000;

/** What a test changes, it makes for itself. */
describe("who may do what in a swarm", () => {
  let called: CalledSwarm;
  let swarm: Swarm;
  let callers: Callers;
  let foreign: CertificateAuthority;
  let decky: { readonly name: string };
  let edge1: CallerIdentity;
  let edge2: CallerIdentity;

  beforeAll(async () => {
    called = await useCalledSwarm();
    ({ swarm, callers, foreign, decky, edge1, edge2 } = called);
  });
  afterAll(() => called?.dispose());

  const worker = (index: number) => called.worker(index);

  describe("with a certificate that does not count", () => {
    const wrong: [what: string, who: () => Promise<KeyAndCertificate | undefined>, actor: string][] = [
      ["none", async () => undefined, ""],
      ["one of a foreign authority", () => newAgent(foreign, edge1.hostId), ""],
      ["one of a foreign authority that is over", () => newAgent(foreign, edge1.hostId, longAgo), ""],
      ["one that is over", () => newAgent(callers.authority, edge1.hostId, { ...longAgo, ttlMs: hour }), "host edge-1"],
      ["one that the master did not give out", () => newAgent(callers.authority, edge1.hostId), "host edge-1"],
      ["a master's", () => newMaster(callers.authority), ""],
    ];

    it.each(wrong)("%s, every call of agents is refused, and on record", async (_, who, actor) => {
      const { registration, enrollment } = callers.callAs(await who());
      const { csrPem } = await createKeyAndCsr({ commonName: "x" });
      for (const call of [
        () => registration.register({ facts: callers.facts(), instanceId: "i", reportStream: "s" }),
        () => registration.report({ reportStream: "s" }),
        () => enrollment.renewCertificate({ csr: csrPem }),
      ]) {
        const { reason, code } = await refusalOf(call());
        expect([reason, code]).toEqual(["CERTIFICATE_REFUSED", Code.Unauthenticated]);
      }
      for (const method of ["RegistrationService/Register", "RegistrationService/Report", "EnrollmentService/RenewCertificate"])
        expect((await callers.audited(`action=decnet.v1.${method},outcome=CERTIFICATE_REFUSED`)).map(([by]) => by)).toContain(
          actor,
        );
    });

    it.each(wrong)("%s, a connection to be served on is hung up, and on record", async (_, who, actor) => {
      const { closed } = await callers.openLink(await who());
      await closed;
      await eventually(async () =>
        (await callers.audited(`action=${agentAlpn},outcome=CERTIFICATE_REFUSED`)).some(([by]) => by === actor),
      );
      expect((await callers.connection("edge-1"))[0]).toBe(HostState.CONNECTED);
    });
  });

  it("an operator's token does not make the calls of agents, not even beside a good certificate", async () => {
    const { master } = swarm;
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    for (const who of [undefined, edge1]) {
      const { registration, enrollment } = callers.callAs(who, master.token);
      for (const call of [
        () => registration.register({ facts: callers.facts() }),
        () => registration.report({}),
        () => enrollment.renewCertificate({ csr: csrPem }),
      ])
        expect((await refusalOf(call())).reason).toBe("NOT_ALLOWED");
    }
    const who = await callers.audited("action=decnet.v1.RegistrationService/Register,outcome=NOT_ALLOWED");
    expect(who.map(([by]) => by)).toContain("host edge-1");
  });

  it("an agent's certificate does not make the calls of operators, and the attempt has the host's name", async () => {
    const { mutations, access, swarm: hosts } = callers.callAs(edge2);
    expect((await refusalOf(mutations.addService({ decky, service: "http" }))).reason).toBe("UNAUTHENTICATED");
    expect((await refusalOf(hosts.decommissionHost({ name: "edge-1" }))).reason).toBe("UNAUTHENTICATED");
    expect((await refusalOf(hosts.createJoinToken({ hostName: "x" }))).reason).toBe("UNAUTHENTICATED");
    expect((await refusalOf(access.listAudit({}))).reason).toBe("UNAUTHENTICATED");
    expect(await callers.audited("action=decnet.v1.MutationService/AddService,outcome=UNAUTHENTICATED")).toEqual([
      // What somebody without a token sends is not read.
      ["host edge-2", ""],
    ]);
    expect(await callers.audited("action=decnet.v1.SwarmService/DecommissionHost,outcome=UNAUTHENTICATED")).toEqual([
      ["host edge-2", ""],
    ]);
  });

  describe("a join token", () => {
    it("is taken again from the same key, for the same host, and from no other key", async () => {
      const first = await callers.enrol("twice");
      expect((await callers.enrolAgain(first)).hostId).toBe(first.hostId);
      const other = await createKeyAndCsr({ commonName: "other" });
      expect((await refusalOf(callers.enrolAgain({ ...first, csr: other.csrPem }))).reason).toBe("TOKEN_USED");
      const { refused } = await swarm.master.swarm.listRefusedJoins({});
      expect(refused[0]).toMatchObject({ reason: "TOKEN_USED", hostName: "twice", machineName: "a-machine" });
      expect(await callers.audited("action=decnet.v1.EnrollmentService/Enroll,outcome=TOKEN_USED")).toHaveLength(1);
      expect((await callers.audited("action=decnet.v1.EnrollmentService/Enroll,outcome=accepted")).map(([by]) => by)).toContain(
        "host twice",
      );
    });

    it("of a decommissioned host gives no certificate any more, not even to its own key", async () => {
      const host = await callers.enrol("gone");
      await swarm.master.swarm.decommissionHost({ name: "gone", force: true });
      expect((await refusalOf(callers.enrolAgain(host))).reason).toBe("TOKEN_REVOKED");
      expect((await refusalOf(swarm.master.swarm.getHost({ name: "gone" }))).reason).toBe("HOST_NOT_FOUND");
    });

    it("of a worker that joined again with a newer one is over, and so is its certificate", async () => {
      const first = await callers.enrol("back");
      const second = await callers.enrol("back");
      expect(second.hostId).toBe(first.hostId);
      expect((await refusalOf(callers.enrolAgain(first))).reason).toBe("TOKEN_REVOKED");
      const call = callers.callAs(first).registration.report({ reportStream: "s" });
      expect((await refusalOf(call)).message).toBe("the certificate is revoked");
    });

    it("is refused over plaintext, and a wrong secret tells nothing about this master", async () => {
      const { secret } = await swarm.master.swarm.createJoinToken({ hostName: "plain" });
      const { id, secret: word } = parseJoinToken(secret);
      const { csrPem } = await createKeyAndCsr({ commonName: "x" });
      const plain = createClientTransport({ address: `http://127.0.0.1:${swarm.master.port}`, token: "" });
      callers.cleanUp(plain.close);
      const enrollment = createClient(EnrollmentService, plain.transport);
      const request = { tokenId: id, tokenSecret: word, csr: csrPem, facts: callers.facts() };
      expect((await refusalOf(enrollment.enroll(request))).reason).toBe("CERTIFICATE_REFUSED");
      const guess = { ...request, tokenSecret: "guess", facts: callers.facts({ catalogueDigest: "x", protocolVersion: 9 }) };
      expect((await refusalOf(callers.callAs(undefined).enrollment.enroll(guess))).reason).toBe("TOKEN_INVALID");
    });
  });

  describe("a report", () => {
    it("about another host's decky is refused, and nothing of it is stored (W-46)", async () => {
      const { master } = swarm;
      const { registration } = callers.callAs(await callers.enrol("forger"));
      await registration.register({ facts: callers.facts(), instanceId: "forger", reportStream: "forged" });
      const before = await master.fleet.getDecky({ decky });
      const observation = { decky, revision: 99, state: DeckyState.DETACHED, message: "taken over", services: [] };
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
      expect((await master.swarm.getHost({ name: "forger" })).host?.message).toBe("");
      const { operations } = await master.operations.listOperations({ filter: `kind=repair,decky=${decky.name}` });
      expect(operations).toEqual([]);
      expect(await callers.audited("outcome=DECKY_NOT_ON_HOST")).toContainEqual(["host forger", ""]);
    });

    it("of another stream, or with numbers, times and texts that are none, is refused or read as what it can be", async () => {
      const { registration } = callers.callAs(await callers.enrol("sloppy"));
      await registration.register({ facts: callers.facts(), instanceId: "i", reportStream: "mine" });
      const send = (reportStream: string, sequence: bigint, problem = "") =>
        registration.report({
          reportStream,
          items: [create(ReportItemSchema, { sequence, item: { case: "engine", value: { problem } } })],
        });
      expect((await refusalOf(send("another", 1n))).reason).toBe("REQUEST_INVALID");
      expect((await refusalOf(send("mine", 2n ** 64n - 1n))).reason).toBe("REQUEST_INVALID");
      expect((await refusalOf(send("mine", 0n))).reason).toBe("REQUEST_INVALID");
      for (const bad of [{ clock: { seconds: 2n ** 62n } }, { clock: { seconds: -9n } }, { machineName: "x".repeat(70_000) }]) {
        const call = registration.register({ facts: callers.facts(bad), instanceId: "i", reportStream: "mine" });
        expect((await refusalOf(call)).reason).toBe("REQUEST_INVALID");
      }
      const stream = registration.register({ facts: callers.facts(), instanceId: "i", reportStream: "\u0000" });
      expect((await refusalOf(stream)).reason).toBe("REQUEST_INVALID");
      await send("mine", 1n, "\u0000\u001b[2Jboo");
      const { host } = await swarm.master.swarm.getHost({ name: "sloppy" });
      expect(host?.message).toBe("its engine does not answer: ??[2Jboo");
    });

    it("is taken from the real agent again when it is back", async () => {
      const owner = await callers.enrol("back-again");
      const { registration } = callers.callAs(owner);
      await registration.register({ facts: callers.facts(), instanceId: "liar", reportStream: "lies" });
      const lie = { case: "engine", value: { problem: "a lie" } } as const;
      await registration.report({ reportStream: "lies", items: [create(ReportItemSchema, { sequence: 1n, item: lie })] });
      const message = async () => (await swarm.master.swarm.getHost({ name: owner.name })).host?.message;
      expect(await message()).toContain("a lie");
      await callers.startAgent(worker(1).host, owner);
      await callers.untilConnected(owner.name);
      await eventually(async () => (await message()) === "");
    });
  });

  describe("two agents with one identity", () => {
    it("the second one is refused by name, and the first one goes on undisturbed", async () => {
      const { master } = swarm;
      const twin = await callers.enrol("twin");
      await callers.startAgent(worker(0).host, twin);
      await callers.untilConnected("twin");
      const before = { connection: await callers.connection("twin"), containers: await worker(0).containers() };
      const second = await callers.startAgent(worker(1).host, twin);
      const message = await eventually(async () => {
        const { host } = await master.swarm.getHost({ name: "twin" });
        return host?.message.includes("a second agent") === true ? host.message : undefined;
      }, 60_000);
      expect(message).toContain(worker(1).host.address);
      await eventually(async () => (await second.says()).includes("HOST_ALREADY_CONNECTED"));
      second.program.kill("SIGTERM");
      expect(await callers.audited("outcome=HOST_ALREADY_CONNECTED")).toContainEqual(["host twin", ""]);
      const { closed } = await callers.openLink(twin);
      await closed;
      await eventually(async () =>
        (await callers.audited(`action=${agentAlpn},outcome=HOST_ALREADY_CONNECTED`)).some(([by]) => by === "host twin"),
      );
      expect(await callers.connection("twin")).toEqual(before.connection);
      expect(await worker(0).containers()).toEqual(before.containers);
    });

    it("a thief's certificate leads to no further one while the owner is connected, and ends with the owner's next", async () => {
      const owner = await callers.enrol("owner");
      await callers.openLink(owner);
      await callers.untilConnected("owner");
      const csr = async () => (await createKeyAndCsr({ commonName: "thief" })).csrPem;
      const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "thief" });
      const { certificate } = await callers.callAs(owner).enrollment.renewCertificate({ csr: csrPem });
      const thief = callers.callAs({ keyPem, certPem: certificate });
      expect((await refusalOf(thief.enrollment.renewCertificate({ csr: await csr() }))).reason).toBe("HOST_ALREADY_CONNECTED");
      await callers.callAs(owner).enrollment.renewCertificate({ csr: await csr() });
      expect((await refusalOf(thief.registration.report({ reportStream: "s" }))).message).toBe("the certificate is revoked");
    });
  });

  it("a host that is connected, away or draining is no place for what its state forbids", async () => {
    const { master } = swarm;
    expect((await refusalOf(master.swarm.createJoinToken({ hostName: "edge-1" }))).reason).toBe("HOST_EXISTS");
    const idle = await callers.enrol("idle");
    const { secret } = await master.swarm.createJoinToken({ hostName: "idle" });
    const { socket, closed } = await callers.openLink(idle);
    await eventually(async () => (await callers.connection("idle"))[0] === HostState.CONNECTED);
    const other = await createKeyAndCsr({ commonName: "other" });
    expect((await refusalOf(callers.enrolAgain({ secret, csr: other.csrPem }))).reason).toBe("HOST_EXISTS");
    socket.destroy();
    await closed;
    await eventually(async () => (await callers.connection("idle"))[0] !== HostState.CONNECTED);
    expect((await refusalOf(master.swarm.decommissionHost({ name: "idle" }))).reason).toBe("HOST_UNREACHABLE");
    await master.swarm.drainHost({ name: "idle" });
    const placed = { name: `${master.prefix}-b`, placement: { where: { case: "host", value: "idle" } } } as const;
    const deckies = [{ ...placed, services: [{ slug: "redis" }] }];
    const fleet = { lan: master.lan, deckies };
    expect((await refusalOf(master.fleet.applyFleet({ fleet, options: { dryRun: true } }))).reason).toBe("HOST_DRAINING");
  });

  it("decommissioning cuts open connections at once, and what was revoked stays out", async () => {
    const { master } = swarm;
    const bare = await callers.enrol("bare");
    const link = await callers.openLink(bare);
    await eventually(async () => (await callers.connection("bare"))[0] === HostState.CONNECTED);
    const since = Date.now();
    const ended = link.closed.then(() => Date.now() - since);
    await master.swarm.decommissionHost({ name: "bare", force: true });
    expect(await ended).toBeLessThan(5_000);
    const { closed } = await callers.openLink(bare);
    await closed;
    await eventually(async () =>
      (await callers.audited(`action=${agentAlpn},outcome=CERTIFICATE_REFUSED`)).some(([by]) => by === "host bare"),
    );
  });

  it("an agent whose host was decommissioned says why it is not let in", { timeout: 180_000 }, async () => {
    const { master } = swarm;
    const leaver = await callers.enrol("leaver");
    const agent = await callers.startAgent(worker(1).host, leaver);
    await callers.untilConnected("leaver");
    await master.swarm.decommissionHost({ name: "leaver", force: true });
    const { hosts } = await master.swarm.listHosts({ filter: "state=decommissioned,name=leaver" });
    expect(hosts).toHaveLength(1);
    const status = await eventually(async () => {
      const stdout = await agent.run("status");
      return stdout.includes("CERTIFICATE_REFUSED") ? stdout : undefined;
    }, 60_000);
    expect(status).toContain("decnet host invite");
  });
});
