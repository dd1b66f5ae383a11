import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { protocolVersion } from "@decnet/common/protocol-version";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  AgentFactsSchema,
  EnrollmentService,
  RegistrationService,
  type ReportItem,
} from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { DriftPolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Catalog } from "@decnet/engine/catalog/types";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../support/scripted-worker.ts";
import { eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** Long before the next heartbeat. */
const soonMs = 2_500;

/** A real master and real agents on engines in memory: which calls agents make, and whose are accepted. */
describe("calls of agents", () => {
  let master: TestMaster;
  let catalog: Catalog;
  let folder: string;
  let worker: ScriptedWorker;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    catalog = await loadCatalog([ownCatalog, testCatalog]);
    folder = await mkdtemp(join(tmpdir(), "decnet-calls-"));
    await chmod(folder, 0o711);
    master = await useMaster({
      place: {
        dataDir: join(folder, "master"),
        prefix: "",
        lan: { name: "lan", subnet: "10.77.0.0/24" },
        dispose: () => rm(folder, { recursive: true, force: true }),
      },
      env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0", DECNET_PARALLEL: "1" },
      openHostEngine: async () => createMemoryEngine({ catalog, instance: "local" }),
    });
    worker = await joinScriptedWorker({ master, name: "edge-1", folder, catalog });
    worker.engine.watch("a");
    const placement = { where: { case: "host", value: "edge-1" } } as const;
    await master.fleet.applyFleet({
      fleet: { lan: master.lan, deckies: [{ name: "a", services: [{ slug: "redis" }], placement }] },
    });
  });

  afterAll(async () => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
    await worker?.stop();
    await master?.dispose();
  });

  const decky = { name: "a" };
  /** How many reports the master took so far; as its own metrics count them. */
  const reports = async () => {
    const text = await (await fetch(`http://127.0.0.1:${master.port}/metrics`)).text();
    const line = /decnet_rpc_duration_seconds_count\{method="decnet.v1.RegistrationService\/Report",code="OK"\} (\d+)/.exec(text);
    return Number(line?.[1] ?? 0);
  };
  /** Resolves after so many more whole drift checks of the worker. */
  const drifted = async (checks: number) => {
    const until = worker.engine.engine.counts.checks + checks;
    await eventually(async () => worker.engine.engine.counts.checks >= until);
  };

  it("do not repeat what the outcome of an apply has said", async () => {
    // What came with the connection is over, and the next heartbeat is far away.
    await drifted(5);
    await eventually(async () => (await reports()) >= 1);
    const before = await reports();
    await master.mutations.addService({ decky, service: "http" });
    await master.mutations.removeService({ decky, service: "http" });
    await drifted(5);
    expect(await reports()).toBe(before);
  });

  it("tell every difference that a drift check finds, also one that goes back to what an outcome said", async () => {
    const states = async () => (await master.fleet.getDecky({ decky })).decky?.services.map(({ message }) => message);
    const before = await states();
    worker.engine.alter("a", "redis", { restartCount: 7 });
    await eventually(async () => (await master.fleet.getDecky({ decky })).decky?.services[0]?.restartCount === 7);
    worker.engine.alter("a", "redis", { restartCount: 0 });
    await eventually(async () => (await master.fleet.getDecky({ decky })).decky?.services[0]?.restartCount === 0);
    expect(await states()).toEqual(before);
    expect((await master.fleet.getDecky({ decky })).decky?.state).toBe(DeckyState.RUNNING);
  });

  it("are not needed for the master to know how old what it knows is", async () => {
    const seenAt = async () => {
      const { decky: found } = await master.fleet.getDecky({ decky });
      return found?.observedAt === undefined ? 0 : timestampMs(found.observedAt);
    };
    const before = { reports: await reports(), seenAt: await seenAt() };
    await eventually(async () => (await seenAt()) > before.seenAt + 5_000);
    // One heartbeat may fall into this time.
    expect((await reports()) - before.reports).toBeLessThanOrEqual(1);
    expect(Date.now() - (await seenAt())).toBeLessThan(10_000);
  });

  it("come soon when the master has something to tell: a new drift policy", async () => {
    const placement = { where: { case: "host", value: "edge-1" } } as const;
    const deckies = [{ name: "a", services: [{ slug: "redis" }], placement }];
    const policy = () => readFile(join(folder, "edge-1", "drift-policy"), "utf8").catch(() => "repair");
    for (const [driftPolicy, text] of [
      [DriftPolicy.REPORT, "report"],
      [DriftPolicy.REPAIR, "repair"],
    ] as const) {
      await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies, driftPolicy } });
      await eventually(async () => (await policy()).trim() === text, soonMs);
    }
  });

  it("come soon when a pending change was cancelled, and say how the decky is", async () => {
    const placement = { where: { case: "host", value: "edge-1" } } as const;
    const deckies = ["a", "b"].map((name) => ({ name, services: [{ slug: "redis" }], placement }));
    const busy = worker.engine.holdApply("b");
    const state = async () => (await master.fleet.getDecky({ decky })).decky?.state;
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies }, options: { wait: Wait.ACCEPTED } });
    try {
      await busy.reached;
      const { operation } = await master.mutations.addService({ decky, service: "http", options: { wait: Wait.ACCEPTED } });
      expect([operation?.state, await state()]).toEqual([OperationState.PENDING, DeckyState.CHANGING]);
      await master.operations.cancelOperation({ id: operation?.id ?? "" });
      await eventually(async () => (await state()) === DeckyState.RUNNING, soonMs);
    } finally {
      busy.release();
    }
  });

  /** Calls with a certificate, over a connection of their own that is kept. */
  function connect(own: { certPem?: string; keyPem?: string }, caPem: string) {
    const address = `https://127.0.0.1:${master.tlsPort}`;
    const { transport, close } = createClientTransport({ address, token: "", tls: { caPem, ...own } });
    cleanups.push(close);
    const registration = createClient(RegistrationService, transport);
    const enrollment = createClient(EnrollmentService, transport);
    const facts = create(AgentFactsSchema, {
      agentVersion: "test",
      protocolVersion,
      catalogueDigest: catalog.digest,
      clock: timestampFromDate(new Date()),
    });
    return {
      enrollment,
      facts,
      register: () => registration.register({ facts, instanceId: "i-1", reportStream: "stream-1" }),
      report: (items: ReportItem[] = []) => registration.report({ reportStream: "stream-1", items }),
      renew: async () => {
        const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "x" });
        return { keyPem, certPem: (await enrollment.renewCertificate({ csr: csrPem })).certificate };
      },
    };
  }

  /** Joins as a machine does, again and again under one name when told so. */
  async function enrol(hostName: string) {
    const { secret } = await master.swarm.createJoinToken({ hostName });
    const token = parseJoinToken(secret);
    const caPem = await readFile(join(folder, "master", "pki", "ca.pem"), "utf8");
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: hostName });
    const { enrollment, facts } = connect({}, caPem);
    const answer = await enrollment.enroll({ tokenId: token.id, tokenSecret: token.secret, csr: csrPem, facts });
    return { hostId: answer.hostId, caPem, calls: connect({ certPem: answer.certificate, keyPem }, caPem) };
  }

  const reasonOf = (call: Promise<unknown>) =>
    call.then(
      () => "taken",
      (error: unknown) => fromConnectError(error).reason,
    );

  it("are refused over a connection that was accepted, once another machine has joined under the name", async () => {
    const { calls } = await enrol("edge-2");
    await calls.register();
    for (let call = 0; call < 3; call += 1) expect(await reasonOf(calls.report())).toBe("taken");
    const next = await enrol("edge-2");
    for (const call of [calls.report, calls.register, calls.renew]) expect(await reasonOf(call())).toBe("CERTIFICATE_REFUSED");
    await next.calls.register();
    expect(await reasonOf(next.calls.report())).toBe("taken");
  });

  it("are refused over a connection that was accepted, once its certificate was renewed twice", async () => {
    const { calls: first, caPem } = await enrol("edge-3");
    await first.register();
    const second = connect(await first.renew(), caPem);
    expect(await reasonOf(first.report())).toBe("taken");
    await second.register();
    const third = connect(await second.renew(), caPem);
    expect(await reasonOf(first.report())).toBe("CERTIFICATE_REFUSED");
    for (const calls of [second, third]) expect(await reasonOf(calls.report())).toBe("taken");
  });

  it("end with the connection when the host is decommissioned, and no later one is accepted", async () => {
    const { calls } = await enrol("edge-4");
    await calls.register();
    expect(await reasonOf(calls.report())).toBe("taken");
    await master.swarm.decommissionHost({ name: "edge-4", force: true });
    for (let call = 0; call < 3; call += 1) expect(await reasonOf(calls.report())).not.toBe("taken");
    expect(await reasonOf(calls.register())).toBe("CERTIFICATE_REFUSED");
  });

  it("are told the newest report that was taken, also after they registered again over the same connection", async () => {
    const { calls } = await enrol("edge-5");
    expect((await calls.register()).acknowledged).toBe(0n);
    expect((await calls.report()).acknowledged).toBe(0n);
    const item = (sequence: bigint) => ({ sequence, item: { case: "gap", value: { lost: 1n } } }) as ReportItem;
    expect((await calls.report([item(1n), item(2n)])).acknowledged).toBe(2n);
    expect((await calls.report()).acknowledged).toBe(2n);
    expect((await calls.register()).acknowledged).toBe(2n);
    expect((await calls.report([item(1n), item(2n), item(3n)])).acknowledged).toBe(3n);
  });
});
