import { createHash } from "node:crypto";
import { hostname } from "node:os";
import type { RpcServer } from "@decnet/common/rpc/server";
import { createReleasers } from "@decnet/common/runtime/releasers";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import { keepImagesPruned } from "@decnet/engine/keep-images-pruned";
import { createAcceptedCertificates } from "./access/accepted-certificates.ts";
import { ensureAdminToken } from "./access/admin-token.ts";
import { createOpenStreams } from "./access/open-streams.ts";
import { runBus } from "./bus/bus.ts";
import type { CarryOut } from "./bus/commands.ts";
import { type Changes, createChanges } from "./changes/changes.ts";
import { type Convergence, createConvergence } from "./convergence/convergence.ts";
import { createDriftCheck } from "./convergence/drift-check.ts";
import { type Ground, type MasterOptions, prepareGround } from "./ground.ts";
import { createAgentSessions } from "./hosts/agent-sessions.ts";
import { createEnrollment } from "./hosts/enrollment.ts";
import { createHostCalls } from "./hosts/host-calls.ts";
import { openSwarmPort } from "./hosts/open-swarm.ts";
import { createRegistration } from "./hosts/registration.ts";
import { watchSilence } from "./hosts/silence.ts";
import { keepCompany } from "./keep-company.ts";
import { keepWithin } from "./keep-within.ts";
import { createAgentAcceptor } from "./links/accept-agents.ts";
import { createElsewhere } from "./links/elsewhere.ts";
import { createHostLeases, type HostLeases } from "./links/host-leases.ts";
import { createHostRegistry, type HostRegistry } from "./links/host-registry.ts";
import { createPeerTransports } from "./links/peer-transports.ts";
import { createCommandDoor } from "./rpc/bus-commands.ts";
import { createRoutes } from "./rpc/routes.ts";
import { interceptorsOf, serveCalls } from "./serve-calls.ts";
import { createAddressRules } from "./webhooks/address-rules.ts";
import { runWebhooks } from "./webhooks/run-webhooks.ts";
import { welcome } from "./welcome.ts";

export type { MasterOptions } from "./ground.ts";

export interface Master {
  readonly port: number;
  /** Undefined when the master does not listen for workers. */
  readonly tlsPort: number | undefined;
  readonly adminToken: "made" | "kept" | "replaced";
  stop(): Promise<void>;
}

const silenceGraceMs = 5_000;
/** How often it is looked whose services are to change. */
const rotationMs = 5_000;

/** Wires a master and starts it. Whatever was acquired is released in reverse order, also when starting fails half way. */
export async function startMaster(options: MasterOptions): Promise<Master> {
  const releasers = createReleasers();
  try {
    const ground = await prepareGround(options, releasers);
    const { store, stopping } = ground;
    const { adminTokenFile, hostName } = options.config;
    const adminToken = await ensureAdminToken(store.tokens, adminTokenFile, hostName);
    const listening = await listen(ground);
    const { server, convergence, changes, hosts, carryOut, background } = listening;
    await ground.place.listens(listening.addresses());
    const work = Promise.all([startBackground(ground, listening), serveBus(ground, carryOut)]);
    releasers.add(async () => {
      await Promise.all([work, background]);
      await convergence.idle();
    });
    releasers.add(async () => {
      stopping.abort(new Error("the master is shutting down"));
      for (const name of hosts.names) hosts.connected(name)?.close();
      await server.close().finally(store.flush);
    });
    store.onReturn(
      () =>
        void resume(ground, convergence, changes).catch((error) => options.log.warn("open work was not found", { err: error })),
    );
    await store.operations.cutOffSteps({ ownHost: hosts.own });
    await resume(ground, convergence, changes);
    await ground.lock.note(`${options.config.host}:${server.port}`);
    options.log.info("master started", { port: server.port, tlsPort: server.tlsPort, instance: ground.installation });
    return { port: server.port, tlsPort: server.tlsPort, adminToken, stop: () => releasers.release() };
  } catch (error) {
    await releasers.release().catch(() => undefined);
    throw error;
  }
}

interface Listening {
  readonly server: RpcServer;
  /** Where workers and other masters reach this one. */
  readonly addresses: () => readonly string[];
  readonly hosts: HostRegistry;
  readonly leases: HostLeases;
  /** Cuts whatever the certificates of a host opened. */
  readonly cutOff: (hostId: string) => void;
  readonly convergence: Convergence;
  readonly changes: Changes;
  readonly carryOut: CarryOut;
  readonly background: Promise<unknown>;
}

async function listen(ground: Ground): Promise<Listening> {
  const { options, catalog, box, authority, store, installation, presence, metrics, readiness, stopping, peers, instance } =
    ground;
  const { config, log, version } = options;
  const transports = await createPeerTransports(authority, installation);
  stopping.signal.addEventListener("abort", transports.close, { once: true });
  const elsewhere = createElsewhere({ peers, transports, leases: store.leases, instance });
  const hosts = createHostRegistry({
    local: presence,
    ownEpoch: ground.ownEpoch,
    elsewhere,
    onAttached: (name) =>
      void welcome(name, ground, hosts, convergence).catch((error: unknown) => {
        if (!stopping.signal.aborted) log.error("a host was not woken", { host: name, err: error });
      }),
    onDetached(name) {
      log.warn("a host went away", { host: name });
      leases.release(name);
    },
  });
  const isConnected = (name: string) => hosts.connected(name) !== undefined;
  const leases = createHostLeases({ store: store.leases, instance, isConnected });
  const shared = { store, hosts, catalog, log, stopping: stopping.signal };
  const accepted = createAcceptedCertificates(store.hosts);
  const sessions = createAgentSessions({ store, registry: hosts, elsewhere, log });
  const calls = createHostCalls();
  const streams = createOpenStreams(store.tokens);
  const convergence = createConvergence({ ...shared, parallel: config.parallel, onApplied: metrics.applied });
  const changes = createChanges({
    ...shared,
    onSettings: () => registration.notePolicy(),
    holdCalls: calls.hold,
    convergence,
    master: instance,
    fingerprint: box.fingerprint,
    disconnect: (hostId) => cutOff(hostId),
  });
  const cutOff = (hostId: string) => {
    accepted.forget(hostId);
    server.disconnect(({ certificate }) => certificate?.identity?.role === "agent" && certificate.identity.hostId === hostId);
  };
  const accept = createAgentAcceptor({
    ...shared,
    store: store.hosts,
    audit: store.audit,
    registry: hosts,
    leases,
    agentOf: sessions.agentOf,
    answersElsewhere: elsewhere.answers,
    caPem: authority.certPem,
    onSecond: (host, address) => sessions.noteSecond(host, address, "connected"),
  });
  const port = await openSwarmPort(config, authority, accept);
  const joins = { ...shared, catalogueDigest: catalog.digest, version, authority, accepted, registry: hosts, sessions, calls };
  const registration = createRegistration({ ...joins, whenBehind: config.whenBehind });
  const parts = {
    ...shared,
    ...convergence,
    ...changes,
    swarm: {
      enrollment: createEnrollment({ ...joins, certificateTtlMs: config.agentCertificateMs }),
      registration,
      changes: changes.hostChanges,
      orphans: changes.orphans,
      caHash: authority.hash,
      caCertPem: authority.certPem,
      addresses: () => peers.addresses(port.addresses()),
    },
    installation,
    webhookRules: createAddressRules(config.webhooks.allowed),
    fingerprint: box.fingerprint,
    version,
    isLate: () => peers.known.length > 1 && ground.place.isLate(),
    knownMasters: () => peers.known,
    isReady: readiness.isReady,
    bus: ground.bus,
  };
  metrics.watchFleet({
    figures: store.figures.count,
    readiness: readiness.now,
    isConnected: hosts.isReachable,
    certificates: () => ({ authority: authority.notAfter, "tls-port": port.certificateUntil() }),
  });
  // Before anybody can begin one: what is open now was left by the last start.
  await changes.batches.closeOrphans(peers.mayLive);
  const server = await serveCalls({
    ...{ config, log, store, accepted, streams, metrics, readiness },
    routes: createRoutes(parts),
    tls: port.tls,
  });
  const carryOut = createCommandDoor(parts, interceptorsOf({ log, store, streams, metrics }));
  const background = Promise.all([port.keepCertificate(server, stopping.signal, log), streams.watch(stopping.signal)]);
  return { server, addresses: port.addresses, hosts, leases, cutOff, convergence, changes, carryOut, background };
}

/** Tells masters by their data folders. */
function masterOf({ dataDir }: Pick<MasterOptions["config"], "dataDir">): string {
  return createHash("sha256").update(`${hostname()} ${dataDir}`).digest("hex").slice(0, 16);
}

/** What was left in the middle goes on: at the start by the last master, later by a database that went away with its answers. */
async function resume({ store, stopping }: Ground, convergence: Convergence, { batches }: Changes): Promise<void> {
  if (stopping.signal.aborted) return;
  await batches.closeLeft();
  convergence.parents.note(await store.parents.open());
  const unfinished = await store.deckies.unfinished();
  convergence.converger.wakeAll(unfinished.map(({ id, host }) => ({ deckyId: id, host })));
}

/** Events go out, and commands come in. */
function serveBus(
  { options: { log, config }, store, installation, metrics, bus, stopping }: Ground,
  carryOut: CarryOut,
): Promise<void> {
  const { sent: onSent, trouble: onTrouble, command: onCommand } = metrics.bus;
  const figures = { onSent, onTrouble, onCommand, onCommandsTrouble: bus.noteCommands };
  const holder = masterOf(config);
  return runBus({ config: config.bus, store, installation, holder, log, carryOut, ...figures }, stopping.signal);
}

/** Whatever goes on by itself until the master stops. */
async function startBackground(ground: Ground, listening: Listening): Promise<void> {
  const { store, engine, local, presence, driftTurn, metrics, readiness, peers } = ground;
  const { log, config, version } = ground.options;
  const { signal } = ground.stopping;
  const { hosts, changes, convergence } = listening;
  const { hostChanges, topologyStates, rotations } = changes;
  const { converger } = convergence;
  const lease = () => hosts.leaseOf(local.name);
  const check = createDriftCheck(local, { store, converger, log, lease, onDrift: metrics.drift });
  presence.onReturn(() => {
    driftTurn.call();
    void converger.wakeHost(local.name).catch((error: unknown) => log.error("a host was not woken", { err: error }));
  });
  await Promise.all([
    readiness.watch(signal),
    presence.watch(signal),
    watchSilence({
      ...{ store, hosts, log, stopping: signal, graceMs: silenceGraceMs },
      ...{ speaks: peers.isSpeaker, masters: () => peers.known },
    }),
    keepCompany({ ground, ...listening }),
    repeatUntilAborted(
      config.driftIntervalMs,
      signal,
      (isEarly) => check(isEarly).then(() => hostChanges.finishDecommissioning()),
      (error) => log.error("the drift check failed", { err: error }),
      driftTurn,
    ),
    keepImagesPruned(engine, signal, log),
    topologyStates.run(),
    repeatUntilAborted(rotationMs, signal, rotations.tick, (error) => log.warn("rotations were not looked at", { err: error })),
    keepWithin(store.retention, config.keep, log, signal),
    runWebhooks(
      {
        store: store.webhooks,
        events: store.events,
        rules: createAddressRules(config.webhooks.allowed),
        policy: config.webhooks.policy,
        instance: ground.instance,
        version,
        log,
        onDelivery: metrics.webhook,
      },
      signal,
    ),
  ]);
}
