import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Logger } from "@decnet/common/logging/logger";
import { createErrorInterceptor } from "@decnet/common/rpc/error-interceptor";
import { createRefusalLog } from "@decnet/common/rpc/log-refusals";
import { type RpcServer, startRpcServer } from "@decnet/common/rpc/server";
import { createValidationInterceptor } from "@decnet/common/rpc/validate-requests";
import { type FolderLock, lockFolder } from "@decnet/common/runtime/folder-lock";
import { createReleasers, type Releasers } from "@decnet/common/runtime/releasers";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Engine } from "@decnet/engine/engine";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";
import { keepImagesPruned } from "@decnet/engine/keep-images-pruned";
import { createLazyEngine, type OpenEngine } from "@decnet/engine/lazy-engine";
import { createAcceptedCertificates } from "./access/accepted-certificates.ts";
import { ensureAdminToken } from "./access/admin-token.ts";
import { callerName, createAuditInterceptor } from "./access/audit.ts";
import { createAuthInterceptor } from "./access/authenticate.ts";
import { createOpenStreams } from "./access/open-streams.ts";
import { agentCalls } from "./access/roles.ts";
import { type Changes, createChanges } from "./changes/changes.ts";
import type { MasterConfig } from "./config.ts";
import { type Convergence, createConvergence } from "./convergence/convergence.ts";
import { createDriftCheck } from "./convergence/drift-check.ts";
import { openOwnAuthority } from "./hosts/authority.ts";
import { createEnrollment } from "./hosts/enrollment.ts";
import { openSwarmPort } from "./hosts/open-swarm.ts";
import { createRegistration } from "./hosts/registration.ts";
import { watchSilence } from "./hosts/silence.ts";
import { createAgentAcceptor } from "./links/accept-agents.ts";
import { createLocalHost, type LocalHost } from "./links/host-link.ts";
import { createHostRegistry, type HostRegistry } from "./links/host-registry.ts";
import { createLocalPresence, type LocalPresence } from "./links/local-presence.ts";
import { createMetrics, createPlainHttp, type Metrics } from "./metrics.ts";
import { hostEvent } from "./model/events.ts";
import { createReadiness, type Readiness } from "./readiness.ts";
import { createRoutes } from "./rpc/routes.ts";
import { createTopologyNaming } from "./rpc/topology-naming.ts";
import { installationId } from "./store/installation.ts";
import { openStorage } from "./store/open-storage.ts";
import { openSecretBox, type SecretBox } from "./store/secret-box.ts";
import { createStore, type Store } from "./store/store.ts";

export interface MasterOptions {
  readonly config: MasterConfig;
  readonly log: Logger;
  readonly version: string;
  /** For tests: called at each step boundary of the executor. */
  readonly boundary?: StepBoundary;
  /** Aborted: a start that is still under way is given up, and leaves nothing running. */
  readonly giveUp?: AbortSignal;
  /** What opens the engine of the master's own host; a bench of the control plane alone gives one that makes no containers. */
  readonly openHostEngine?: OpenEngine;
}

export interface Master {
  readonly port: number;
  /** Undefined when the master does not listen for workers. */
  readonly tlsPort: number | undefined;
  readonly adminToken: "made" | "kept";
  stop(): Promise<void>;
}

/** What a master is made of before it listens. */
interface Ground {
  readonly options: MasterOptions;
  readonly lock: FolderLock;
  readonly catalog: Catalog;
  readonly box: SecretBox;
  readonly store: Store;
  readonly installation: string;
  readonly engine: Engine;
  readonly local: LocalHost;
  readonly presence: LocalPresence;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly stopping: AbortController;
}

const silenceGraceMs = 5_000;

/** Wires a master and starts it. Whatever was acquired is released in reverse order, also when starting fails half way. */
export async function startMaster(options: MasterOptions): Promise<Master> {
  const releasers = createReleasers();
  try {
    const ground = await prepare(options, releasers);
    const { store, stopping } = ground;
    const adminToken = await ensureAdminToken(store.tokens, options.config.adminTokenFile);
    const { server, convergence, changes, hosts, background } = await listen(ground);
    const work = startBackground(ground, convergence, changes, hosts);
    releasers.add(async () => {
      await Promise.all([work, background]);
      await convergence.idle();
    });
    releasers.add(async () => {
      stopping.abort(new Error("the master is shutting down"));
      for (const name of hosts.names) hosts.connected(name)?.close();
      await server.close();
    });
    store.onReturn(
      () =>
        void resume(ground, convergence, changes).catch((error) => options.log.warn("open work was not found", { err: error })),
    );
    await store.operations.cutOffSteps();
    await resume(ground, convergence, changes);
    await ground.lock.note(`${options.config.host}:${server.port}`);
    options.log.info("master started", { port: server.port, tlsPort: server.tlsPort, instance: ground.installation });
    return { port: server.port, tlsPort: server.tlsPort, adminToken, stop: () => releasers.release() };
  } catch (error) {
    await releasers.release().catch(() => undefined);
    throw error;
  }
}

async function prepare(options: MasterOptions, releasers: Releasers): Promise<Ground> {
  const { config, log, boundary, giveUp = new AbortController().signal, openHostEngine } = options;
  const catalog = await loadCatalog(config.catalogFolders);
  const lock = await lockFolder(config.dataDir, "decnet master", 0o711);
  releasers.add(lock.release);
  const box = await openSecretBox(join(config.dataDir, "secret.key"));
  const database = await openStorage({
    ...config,
    giveUp,
    onRelease: releasers.add,
    onRestart: () => log.warn("the private database had ended and is started again"),
  });
  giveUp.throwIfAborted();
  const installation = await installationId(database);
  const engine = createLazyEngine(
    {
      instance: installation,
      dataDir: config.dataDir,
      catalog,
      fingerprint: box.fingerprint,
      socketPath: config.dockerSocket,
      composePath: config.composePath,
      minFreeBytes: config.minFreeBytes,
      exhaustedRestartMs: config.exhaustedRestartMs,
      ...(boundary === undefined ? {} : { boundary }),
    },
    {
      open: openHostEngine,
      onOpened: ({ warnings }) => warnings.forEach((warning) => void log.warn("the engine lacks something", { warning })),
    },
  );
  // Its own deckies wait for it; workers have a control plane meanwhile.
  void engine.ping().catch((error: unknown) => log.warn("the engine of this host is away", { err: error }));
  const presence = createLocalPresence(createLocalHost(engine));
  const stopping = new AbortController();
  // Every call and every decky that waits listens to it: many are no leak.
  setMaxListeners(0, stopping.signal);
  // Also when starting fails half way: nothing goes on by itself while the database is closed.
  releasers.add(() => stopping.abort(new Error("the master is shutting down")));
  const isStopping = () => stopping.signal.aborted;
  return {
    options,
    lock,
    catalog,
    box,
    store: createStore(database, box, catalog, log),
    installation,
    engine,
    local: presence.host,
    presence,
    metrics: createMetrics(options.version),
    readiness: createReadiness({ database: database.ping, engine: () => engine.ping(), isStopping }),
    stopping,
  };
}

interface Listening {
  readonly server: RpcServer;
  readonly hosts: HostRegistry;
  readonly convergence: Convergence;
  readonly changes: Changes;
  readonly background: Promise<unknown>;
}

async function listen(ground: Ground): Promise<Listening> {
  const { options, catalog, box, store, installation, presence, metrics, readiness, stopping } = ground;
  const { config, log, version } = options;
  const authority = await openOwnAuthority(config.dataDir, installation);
  const hosts = createHostRegistry({
    local: presence,
    onAttached: (name) =>
      void welcome(name, store, convergence).catch((error: unknown) => {
        if (!stopping.signal.aborted) log.error("a host was not woken", { host: name, err: error });
      }),
    onDetached: (name) => log.warn("a host went away", { host: name }),
  });
  const shared = { store, hosts, catalog, log, stopping: stopping.signal };
  const accepted = createAcceptedCertificates(store.hosts);
  const streams = createOpenStreams(store.tokens);
  const convergence = createConvergence({ ...shared, parallel: config.parallel, onApplied: metrics.applied });
  const changes = createChanges({
    ...shared,
    onSettings: () => registration.notePolicy(),
    convergence,
    master: createHash("sha256").update(`${hostname()} ${config.dataDir}`).digest("hex").slice(0, 16),
    disconnect(hostId) {
      accepted.forget(hostId);
      server.disconnect(({ certificate }) => certificate?.identity?.role === "agent" && certificate.identity.hostId === hostId);
    },
  });
  const seen = { store: store.hosts, audit: store.audit, registry: hosts };
  const accept = createAgentAcceptor({ ...shared, ...seen, caPem: authority.certPem });
  const port = await openSwarmPort(config, authority, accept);
  const joins = { ...shared, authority, accepted, registry: hosts, catalogueDigest: catalog.digest, version };
  const registration = createRegistration(joins);
  const parts = {
    ...shared,
    ...convergence,
    ...changes,
    swarm: {
      enrollment: createEnrollment({ ...joins, certificateTtlMs: config.agentCertificateMs }),
      registration,
      changes: changes.hostChanges,
      caHash: authority.hash,
      caCertPem: authority.certPem,
      addresses: port.addresses,
    },
    installation,
    fingerprint: box.fingerprint,
    version,
    isReady: readiness.isReady,
  };
  // Before anybody can begin one: what is open now was left by the last start.
  await changes.batches.closeOrphans();
  const server = await startRpcServer({
    program: "master",
    host: config.host,
    port: config.port,
    routes: createRoutes(parts),
    interceptors: [
      metrics.interceptor,
      createRefusalLog(log, callerName),
      createErrorInterceptor(log),
      createAuditInterceptor(store.audit),
      createAuthInterceptor(store.tokens, store.hosts, accepted, streams),
      createValidationInterceptor({ refusesTexts: (method) => agentCalls[method] === undefined }),
      createTopologyNaming(store.topologies),
    ],
    fallback: createPlainHttp(metrics, readiness),
    onDefect: (error) => log.error("a request could not be handled", { err: error }),
    maxRequestBytes: 4 << 20,
    ...(port.tls === undefined ? {} : { tls: port.tls }),
  });
  const background = Promise.all([port.keepCertificate(server, stopping.signal, log), streams.watch(stopping.signal)]);
  return { server, hosts, convergence, changes, background };
}

/** What was left in the middle goes on: at the start by the last master, later by a database that went away with its answers. */
async function resume({ store, stopping }: Ground, convergence: Convergence, { batches }: Changes): Promise<void> {
  if (stopping.signal.aborted) return;
  await batches.closeLeft();
  convergence.parents.note(await store.parents.open());
  for (const { id } of await store.deckies.unfinished()) convergence.converger.wake(id);
}

/** A worker is connected: what waits for it goes on. */
async function welcome(name: string, store: Store, { converger }: Convergence): Promise<void> {
  await store.transaction((tx) => store.events.append(tx, hostEvent(name, "connected", "")));
  store.events.wake();
  await converger.wakeHost(name);
}

/** Whatever goes on by itself until the master stops. */
async function startBackground(
  { options, store, engine, local, presence, metrics, readiness, stopping }: Ground,
  { converger }: Convergence,
  { hostChanges, topologyStates }: Changes,
  hosts: HostRegistry,
): Promise<void> {
  const { log, config } = options;
  const { signal } = stopping;
  const check = createDriftCheck(local, { store, converger, log, onDrift: metrics.drift });
  presence.onReturn(
    () => void converger.wakeHost(local.name).catch((error: unknown) => log.error("a host was not woken", { err: error })),
  );
  await Promise.all([
    readiness.watch(signal),
    presence.watch(signal),
    watchSilence({ store, hosts, log, stopping: signal, graceMs: silenceGraceMs }),
    repeatUntilAborted(
      config.driftIntervalMs,
      signal,
      () => check().then(() => hostChanges.finishDecommissioning()),
      (error) => log.error("the drift check failed", { err: error }),
    ),
    keepImagesPruned(engine, signal, log),
    topologyStates.run(),
  ]);
}
