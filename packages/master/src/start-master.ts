import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@decnet/common/logging/logger";
import { createErrorInterceptor } from "@decnet/common/rpc/error-interceptor";
import { startRpcServer } from "@decnet/common/rpc/server";
import { createReleasers } from "@decnet/common/runtime/releasers";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import { loadCatalogue } from "@decnet/engine/catalogue/load";
import { type Engine, type EngineOptions, openEngine } from "@decnet/engine/engine";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";
import { keepImagesPruned } from "@decnet/engine/keep-images-pruned";
import { createAcceptedCertificates } from "./access/accepted-certificates.ts";
import { createAuditInterceptor, createAuditLog } from "./access/audit.ts";
import { createAuthInterceptor } from "./access/authenticate.ts";
import { createTokenStore, ensureAdminToken } from "./access/tokens.ts";
import { createFleetChanges } from "./changes/apply-fleet.ts";
import { createBatches } from "./changes/batches.ts";
import { createHostChanges } from "./changes/host-changes.ts";
import { createMutations } from "./changes/mutate.ts";
import type { MasterConfig } from "./config.ts";
import { createConverger } from "./convergence/converger.ts";
import { createDriftWatch, unfinishedDeckies } from "./convergence/drift-watch.ts";
import { openOwnAuthority } from "./hosts/authority.ts";
import { createEnrollment } from "./hosts/enrollment.ts";
import { openSwarmPort } from "./hosts/open-swarm.ts";
import { createRegistration } from "./hosts/registration.ts";
import { watchSilence } from "./hosts/silence.ts";
import { createAgentAcceptor } from "./links/accept-agents.ts";
import { createLocalHost } from "./links/host-link.ts";
import { createHostRegistry } from "./links/host-registry.ts";
import { createMetrics, createPlainHttp } from "./metrics.ts";
import { hostFact } from "./model/host-events.ts";
import { createRoutes } from "./rpc/routes.ts";
import { type Database, openDatabase } from "./store/database.ts";
import { createDeckyStore } from "./store/deckies.ts";
import { createHostStore } from "./store/hosts.ts";
import { createJoinTokenStore } from "./store/join-tokens.ts";
import { createOperationStore } from "./store/operations.ts";
import { createEventLog } from "./store/outbox.ts";
import { openPrivatePostgres } from "./store/private-postgres.ts";
import { openSecretBox } from "./store/secret-box.ts";
import { Installations } from "./store/tables.ts";

export interface MasterOptions {
  readonly config: MasterConfig;
  readonly log: Logger;
  readonly version: string;
  /** For tests: called at each step boundary of the executor. */
  readonly boundary?: StepBoundary;
  /** What opens the engine of the master's own host; a bench of the control plane alone gives one that makes no containers. */
  readonly openHostEngine?: (options: EngineOptions) => Promise<Engine>;
}

export interface Master {
  readonly port: number;
  /** Undefined when the master does not listen for workers. */
  readonly tlsPort: number | undefined;
  readonly adminToken: "made" | "kept";
  stop(): Promise<void>;
}

const silenceGraceMs = 5_000;

/** Wires a master and starts it. Whatever was acquired is released in reverse order, also when starting fails half way. */
export async function startMaster({
  config,
  log,
  version,
  boundary,
  openHostEngine = openEngine,
}: MasterOptions): Promise<Master> {
  const releasers = createReleasers();
  try {
    await mkdir(config.dataDir, { recursive: true, mode: 0o711 });
    const catalogue = await loadCatalogue(config.catalogueFolders);
    const box = await openSecretBox(join(config.dataDir, "secret.key"));
    const database = await openStorage(config, log, releasers.add);
    const instance = await installationId(database);
    const engine = await openHostEngine({
      instance,
      dataDir: config.dataDir,
      catalogue,
      fingerprint: box.fingerprint,
      socketPath: config.dockerSocket,
      composePath: config.composePath,
      minFreeBytes: config.minFreeBytes,
      ...(boundary === undefined ? {} : { boundary }),
    });
    for (const warning of engine.warnings) log.warn("the engine lacks something", { warning });
    const local = createLocalHost(engine);
    const stopping = new AbortController();
    const authority = await openOwnAuthority(config.dataDir, instance);
    const metrics = createMetrics();
    const deckies = createDeckyStore(box, catalogue);
    const operations = createOperationStore(database);
    const events = createEventLog(database);
    const tokens = createTokenStore(database);
    const audit = createAuditLog(database, log);
    const adminToken = await ensureAdminToken(tokens, config.adminTokenFile);
    const hostStore = createHostStore(database);
    const accepted = createAcceptedCertificates(hostStore);
    const hosts = createHostRegistry({
      local,
      onAttached: (name) =>
        void afterConnecting(name).catch((error: unknown) => {
          if (!stopping.signal.aborted) log.error("a host was not woken", { host: name, err: error });
        }),
      onDetached: (name) => log.warn("a host went away", { host: name }),
    });
    const shared = { database, deckies, operations, events, hosts, hostStore, catalogue };
    const converger = createConverger({
      ...shared,
      log,
      parallel: config.parallel,
      stopping: stopping.signal,
      onApplied: metrics.applied,
    });
    const afterConnecting = async (name: string) => {
      await database.transaction((tx) => events.append(tx, hostFact(name, "connected", "")));
      events.wake();
      await converger.wakeHost(name);
    };
    const joins = { ...shared, authority, accepted, registry: hosts, log, catalogueDigest: catalogue.digest, version };
    const joinTokens = createJoinTokenStore(database);
    const port = await openSwarmPort(
      config,
      authority,
      createAgentAcceptor({ store: hostStore, registry: hosts, audit, caPem: authority.certPem, log, stopping: stopping.signal }),
    );
    const hostChanges = createHostChanges({
      ...shared,
      joinTokens,
      converger,
      stopping: stopping.signal,
      disconnect: (hostId) => {
        accepted.forget(hostId);
        server.disconnect(({ certificate }) => certificate?.identity?.role === "agent" && certificate.identity.hostId === hostId);
      },
    });
    const batches = createBatches(database, operations);
    await batches.closeOrphans();
    const mutations = createMutations({ ...shared, converger });
    const fleet = createFleetChanges({ ...shared, converger });
    const readiness = async () => {
      const check = async (ask: () => Promise<unknown>) =>
        ask().then(
          () => "ok",
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        );
      return {
        database: await check(() => database.read((tx) => tx.query("SELECT 1"))),
        engine: await check(() => local.ping()),
      };
    };
    const server = await startRpcServer({
      program: "master",
      host: config.host,
      port: config.port,
      routes: createRoutes({
        ...shared,
        mutations,
        batches,
        fleet,
        converger,
        swarm: {
          tokens: joinTokens,
          enrollment: createEnrollment({ ...joins, tokens: joinTokens, certificateTtlMs: config.agentCertificateMs }),
          registration: createRegistration(joins),
          changes: hostChanges,
          caHash: authority.hash,
          caCertPem: authority.certPem,
          addresses: port.addresses,
        },
        installation: instance,
        tokens,
        fingerprint: box.fingerprint,
        version,
        stopping: stopping.signal,
        isReady: () => !stopping.signal.aborted,
      }),
      interceptors: [
        metrics.interceptor,
        createErrorInterceptor(log),
        createAuditInterceptor(audit),
        createAuthInterceptor(tokens, hostStore, accepted),
      ],
      fallback: createPlainHttp(metrics, readiness),
      maxRequestBytes: 4 << 20,
      ...(port.tls === undefined ? {} : { tls: port.tls }),
    });
    const certificate = port.keepCertificate(server, stopping.signal, log);
    const silence = watchSilence({ ...shared, log, stopping: stopping.signal, graceMs: silenceGraceMs });
    const look = createDriftWatch(local, { ...shared, converger, log, onDrift: metrics.drift });
    const drift = repeatUntilAborted(
      config.driftIntervalMs,
      stopping.signal,
      () => look().then(() => hostChanges.finishDecommissioning()),
      (error) => log.error("looking for drift failed", { err: error }),
    );
    const pruning = keepImagesPruned(engine, stopping.signal, log);
    releasers.add(async () => {
      await Promise.all([drift, pruning, certificate, silence]);
      await converger.idle();
    });
    releasers.add(async () => {
      stopping.abort(new Error("the master is shutting down"));
      for (const name of hosts.names) hosts.connected(name)?.close();
      await server.close();
    });
    for (const { id, host } of await unfinishedDeckies(database)) converger.wake(id, host);
    log.info("master started", { port: server.port, tlsPort: server.tlsPort, instance });
    return { port: server.port, tlsPort: server.tlsPort, adminToken, stop: () => releasers.release() };
  } catch (error) {
    await releasers.release().catch(() => undefined);
    throw error;
  }
}

async function openStorage(
  config: MasterConfig,
  log: Logger,
  onRelease: (release: () => Promise<unknown>) => void,
): Promise<Database> {
  if (config.databaseUrl !== undefined) {
    const database = await openDatabase({ url: config.databaseUrl });
    onRelease(() => database.close());
    return database;
  }
  const server = await openPrivatePostgres(config.dataDir);
  const ending = new AbortController();
  const kept = server.keepRunning(ending.signal, () => log.warn("the private database had ended and is started again"));
  onRelease(async () => {
    ending.abort();
    await kept;
    await server.stop();
  });
  const database = await openDatabase(server);
  onRelease(() => database.close());
  return database;
}

/** Marks what this installation made on its engines; made once per database. */
async function installationId(database: Database): Promise<string> {
  return database.transaction(async (tx) => {
    await tx.query("INSERT INTO installation (id, created_at) VALUES ($1, now()) ON CONFLICT DO NOTHING", [randomUUID()]);
    return (await tx.getRepository(Installations).findOneByOrFail({})).id;
  });
}
