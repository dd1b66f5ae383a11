import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { chmod, readFile } from "node:fs/promises";
import type http from "node:http";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { createErrorInterceptor } from "@decnet/common/rpc/error-interceptor";
import { createRefusalLog } from "@decnet/common/rpc/log-refusals";
import { startRpcServer } from "@decnet/common/rpc/server";
import { createValidationInterceptor } from "@decnet/common/rpc/validate-requests";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { lockFolder } from "@decnet/common/runtime/folder-lock";
import { createReleasers } from "@decnet/common/runtime/releasers";
import { createEarlyTurn, repeatUntilAborted } from "@decnet/common/runtime/repeat";
import { createServedCallSpans } from "@decnet/common/tracing/call-spans";
import type { AgentFacts } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";
import { keepImagesPruned } from "@decnet/engine/keep-images-pruned";
import { createLazyEngine, type OpenEngine } from "@decnet/engine/lazy-engine";
import { engineSettings } from "@decnet/engine/settings";
import type { AgentConfig } from "./config.ts";
import { type Connection, keepConnected } from "./connection/connection.ts";
import { createRunner } from "./deckies/runner.ts";
import { openSpecStore } from "./deckies/spec-store.ts";
import { createWatch, type DriftPolicy } from "./deckies/watch.ts";
import { readFacts } from "./facts.ts";
import { openFingerprint } from "./fingerprint.ts";
import { type AgentIdentity, writeIdentity } from "./identity.ts";
import { type AgentMetrics, createAgentMetrics } from "./metrics.ts";
import { openReportQueue } from "./reports/report-queue.ts";
import { createAgentRoutes, createLocalGate } from "./rpc/routes.ts";

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly identity: AgentIdentity;
  readonly log: Logger;
  readonly version: string;
  /** For tests: called at each step boundary of the executor. */
  readonly boundary?: StepBoundary;
  /** Another engine than the one on the socket; for benches alone. */
  readonly openHostEngine?: OpenEngine;
  /**
   * What many agents of one process have in common, read once: their catalog and the facts of their machine; for benches
   * alone.
   */
  readonly shared?: { readonly catalog: Catalog; readonly facts: () => Promise<AgentFacts> };
}

export interface Agent {
  /** The loopback port for reading. */
  readonly port: number;
  isConnected(): boolean;
  stop(): Promise<void>;
}

/**
 * Wires an agent and starts it. It runs without a master and without an engine, says what is missing, and goes on when they
 * are back.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { config, log, version, boundary, shared } = options;
  const releasers = createReleasers();
  try {
    const catalog = shared?.catalog ?? (await loadCatalog(config.catalogFolders));
    const lock = await lockFolder(config.stateDir, "decnet agent", 0o700);
    releasers.add(lock.release);
    await chmod(config.stateDir, 0o700);
    const stopping = new AbortController();
    // Every decky that waits for its turn listens to it: many are no leak.
    setMaxListeners(0, stopping.signal);
    releasers.add(async () => stopping.abort(new AppError("SHUTTING_DOWN", "the agent is shutting down")));
    const fingerprint = await openFingerprint(config.stateDir, options.identity.fingerprintCheck);
    const identity: AgentIdentity = { ...options.identity, fingerprintCheck: fingerprint.check };
    if (identity.fingerprintCheck !== options.identity.fingerprintCheck) await writeIdentity(config.stateDir, identity);
    const driftTurn = createEarlyTurn();
    const engine = createLazyEngine(
      {
        onReturn: driftTurn.call,
        instance: identity.hostId,
        dataDir: config.stateDir,
        catalog,
        fingerprint: fingerprint.of,
        ...engineSettings(config),
        ...(boundary === undefined ? {} : { boundary }),
      },
      { open: options.openHostEngine },
    );
    const specs = await openSpecStore(join(config.stateDir, "specs"), catalog, (file, error) =>
      log.error("an accepted spec cannot be read and is left alone", { file, err: error }),
    );
    const reports = await openReportQueue(join(config.stateDir, "reports"), config.reportQueue, (trouble, fields) =>
      log.warn(trouble, fields),
    );
    const metrics = createAgentMetrics(version);
    const runner = createRunner({
      ...{ engine, specs, parallel: config.parallel, stopping: stopping.signal, log },
      onApplied: metrics.applied,
    });
    const policy = await openPolicy(join(config.stateDir, "drift-policy"));
    const watch = createWatch({ engine, specs, runner, reports, policy: policy.get, log });
    const readOwnFacts = shared?.facts ?? (() => readFacts({ ...config, version, catalogueDigest: catalog.digest }));
    let facts = await readOwnFacts();
    const parts = {
      catalog,
      engine,
      specs,
      runner,
      hostId: identity.hostId,
      hostName: () => connection.state().hostName,
      engineVersions: () => ({ engine: facts.engineVersion, compose: facts.composeVersion }),
      isConnected: () => connection.state().connected,
      queuedReports: () => reports.length,
      outcomes: watch,
      stopping: stopping.signal,
    };
    const errors = createErrorInterceptor(log);
    const validation = createValidationInterceptor();
    const connection = keepConnected({
      identity,
      instanceId: randomUUID(),
      async facts() {
        facts = await readOwnFacts();
        // Known only once the engine was opened: the first registration may come before that.
        const lacks = engine.warnings.filter((warning) => !facts.warnings.some((known) => warning.startsWith(known)));
        return { ...facts, warnings: [...facts.warnings, ...lacks] };
      },
      specs,
      runner,
      reports,
      routes: createAgentRoutes(parts),
      interceptors: [metrics.interceptor, createRefusalLog(log, () => "master"), errors, createServedCallSpans(), validation],
      log,
      stopping: stopping.signal,
      checkedMsAgo: watch.checkedMsAgo,
      onResync: watch.forgetWhatWasSaid,
      onPolicy: (next) => void policy.set(next).catch((error: unknown) => log.warn("the policy was not kept", { err: error })),
      onIdentity: (renewed) => writeIdentity(config.stateDir, renewed),
    });
    const server = await startRpcServer({
      program: "agent",
      host: "127.0.0.1",
      port: config.port,
      routes: createAgentRoutes(parts),
      interceptors: [createRefusalLog(log, () => ""), errors, createLocalGate(), validation],
      onDefect: (error) => log.error("a request could not be handled", { err: error }),
      // Anybody on this machine may read, and proves nothing.
      admission: { kindOf: () => "anyone", admit: async () => "anyone" },
      onPressure: (what) => log.warn("too much at once: something was refused or cut", { what }),
      fallback: createPlainHttp(metrics, connection.state),
    });
    metrics.watch({
      isConnected: () => connection.state().connected,
      deckies: () => specs.list().length,
      queuedReports: () => reports.length,
      checkedMsAgo: watch.checkedMsAgo,
      certificateUntil: connection.certificateUntil,
    });
    const onError = (error: unknown) => log.error("the drift check failed", { err: error });
    const watching = repeatUntilAborted(config.driftIntervalMs, stopping.signal, watch.check, onError, driftTurn);
    const pruning = keepImagesPruned(engine, stopping.signal, log);
    releasers.add(async () => {
      await Promise.all([watching, pruning, connection.done]);
      await runner.idle();
      await watch.idle();
    });
    releasers.add(async () => {
      stopping.abort(new AppError("SHUTTING_DOWN", "the agent is shutting down"));
      await server.close();
    });
    await lock.note(`127.0.0.1:${server.port}`);
    log.info("agent started", { host: identity.hostName, port: server.port, deckies: specs.list().length });
    return { port: server.port, isConnected: () => connection.state().connected, stop: () => releasers.release() };
  } catch (error) {
    await releasers.release().catch(() => undefined);
    throw error;
  }
}

/** Figures for Prometheus; on every other path, whether it is connected. */
function createPlainHttp(metrics: Pick<AgentMetrics, "text">, state: Connection["state"]) {
  return async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    if ((request.url ?? "").split("?")[0] === "/metrics") {
      const text = await metrics.text();
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text);
      return;
    }
    const { connected, message } = state();
    response.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify({ connected, message })}\n`);
  };
}

/** What the master last said about drift; it holds while the master is away. */
async function openPolicy(file: string): Promise<{ get(): DriftPolicy; set(policy: DriftPolicy): Promise<void> }> {
  let policy: DriftPolicy = (await readFile(file, "utf8").catch(() => "")).trim() === "report" ? "report" : "repair";
  return {
    get: () => policy,
    async set(next) {
      if (next === policy) return;
      policy = next;
      await writeFileAtomically(file, `${next}\n`, 0o600);
    },
  };
}
