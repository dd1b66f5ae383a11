import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { type FolderLock, lockFolder } from "@decnet/common/runtime/folder-lock";
import { patience } from "@decnet/common/runtime/patience";
import type { Releasers } from "@decnet/common/runtime/releasers";
import { createEarlyTurn, type EarlyTurn } from "@decnet/common/runtime/repeat";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Engine } from "@decnet/engine/engine";
import type { StepBoundary } from "@decnet/engine/execute/execute-plan";
import { createLazyEngine, type OpenEngine } from "@decnet/engine/lazy-engine";
import { engineSettings } from "@decnet/engine/settings";
import { type BusWatch, createBusWatch, isLate } from "./bus/watch-bus.ts";
import type { MasterConfig } from "./config.ts";
import { createLocalHost, type LocalHost } from "./links/host-link.ts";
import { createLocalPresence, type LocalPresence } from "./links/local-presence.ts";
import { createPeers, type Peers } from "./links/peers.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { openInstallation } from "./open-installation.ts";
import { createReadiness, type Readiness } from "./readiness.ts";
import { createClaimStore } from "./store/claims.ts";
import type { Database } from "./store/database.ts";
import { isStorageUnavailable } from "./store/database-errors.ts";
import { createLeaseStore } from "./store/leases.ts";
import { openStorage } from "./store/open-storage.ts";
import type { SecretBox } from "./store/secret-box.ts";
import { createStore, type Store } from "./store/store.ts";
import { type OwnPlace, takePlace } from "./take-place.ts";

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
  /** Keys whose files are missing are made again at this start, and what hangs on them is given up. */
  readonly replaceLostKeys?: boolean;
  /** Another master took over what this one did, which does nothing any more and is to be stopped. */
  readonly onDisplaced?: (why: AppError) => void;
}

/** What a master is made of before it listens. */
export interface Ground {
  readonly options: MasterOptions;
  readonly lock: FolderLock;
  readonly catalog: Catalog;
  readonly box: SecretBox;
  readonly authority: CertificateAuthority;
  readonly store: Store;
  readonly installation: string;
  readonly engine: Engine;
  readonly local: LocalHost;
  readonly presence: LocalPresence;
  /** Calls for a drift check of the own host before its time. */
  readonly driftTurn: EarlyTurn;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly bus: BusWatch;
  readonly stopping: AbortController;
  /** Tells this run of a master from every other one. */
  readonly instance: string;
  readonly place: OwnPlace;
  readonly peers: Peers;
  /** Of the lease of the master's own host. */
  readonly ownEpoch: number;
  readonly listen: Database["listen"];
}

/** Locks, storage, keys and engine, in the order in which each needs the one before. */
export async function prepareGround(options: MasterOptions, releasers: Releasers): Promise<Ground> {
  const { config, log, version, boundary, giveUp = new AbortController().signal, openHostEngine } = options;
  const catalog = await loadCatalog(config.catalogFolders);
  const lock = await lockFolder(config.dataDir, "decnet master", 0o711);
  releasers.add(lock.release);
  const instance = randomUUID();
  const database = await openStorage({
    ...config,
    database: { ...config.database, application: `decnet-master ${instance}` },
    giveUp,
    isHeld: lock.isHeld,
    onRelease: releasers.add,
    onRestart: () => log.warn("the private database had ended and is started again"),
  });
  giveUp.throwIfAborted();
  const stopping = new AbortController();
  // Every call and every decky that waits listens to it: many are no leak.
  setMaxListeners(0, stopping.signal);
  const { dataDir, hostName: host } = config;
  const claims = createClaimStore(database);
  const place = await takePlace(claims, { host, instance, dataDir, giveUp });
  releasers.add(place.release);
  const leases = createLeaseStore(database);
  const own = await leases.take(host, { instance, agent: "", address: "" });
  if (own.kind === "held")
    throw new AppError(
      "HOST_EXISTS",
      `${host} is the name of another host: this master's needs one of its own (DECNET_HOST_NAME)`,
      {
        metadata: { host },
      },
    );
  const peers = createPeers({ claims, leases, own: { host, instance } });
  await peers.look();
  const { id, box, authority, checkFiles, checkDatabase } = await openInstallation({
    database,
    dataDir,
    version,
    replaceLostKeys: options.replaceLostKeys === true,
  });
  const driftTurn = createEarlyTurn();
  const engine = createLazyEngine(
    {
      onReturn: driftTurn.call,
      instance: id,
      dataDir,
      catalog,
      fingerprint: box.fingerprint,
      ...engineSettings(config),
      ...(boundary === undefined ? {} : { boundary }),
    },
    {
      open: openHostEngine,
      onOpened: ({ warnings }) => warnings.forEach((warning) => void log.warn("the engine lacks something", { warning })),
    },
  );
  // Its own deckies wait for it; workers have a control plane meanwhile.
  void engine.ping().catch((error: unknown) => log.warn("the engine of this host is away", { err: error }));
  const presence = createLocalPresence(createLocalHost(host, engine));
  // Also when starting fails half way: nothing goes on by itself while the database is closed.
  releasers.add(() => stopping.abort(new Error("the master is shutting down")));
  stopping.signal.addEventListener("abort", () => void severWhenLost(database), { once: true });
  const isStopping = () => stopping.signal.aborted;
  const metrics = createMetrics(version);
  const store = createStore(database, box, catalog, log, metrics.ended);
  const bus = createBusWatch(store.relays, config.bus);
  metrics.bus.watch(bus.status);
  return {
    options,
    lock,
    catalog,
    box,
    authority,
    store,
    installation: id,
    engine,
    local: presence.host,
    presence,
    driftTurn,
    metrics,
    bus,
    readiness: createReadiness({
      database: () => database.ping().then(checkDatabase),
      engine: { warnings: () => engine.warnings, ping: presence.require },
      keys: checkFiles,
      ...(bus.isConfigured ? { bus: async () => isLate((await bus.status()) ?? noStatus, Date.now()) } : {}),
      isStopping,
    }),
    stopping,
    instance,
    place,
    peers,
    ownEpoch: own.epoch,
    listen: database.listen,
  };
}

/** Before anybody sent. */
const noStatus = { trouble: null, oldestWaiting: null };

const patienceMs = 2_000;
const againMs = 500;

/** A stop waits for what is being stored; for a database that does not answer it does not. */
async function severWhenLost(database: Database): Promise<void> {
  const ask = () =>
    database.ping().then(
      () => true,
      (error: unknown) => !isStorageUnavailable(error),
    );
  while (!database.isClosed()) {
    if (!(await Promise.race([ask(), patience(patienceMs).then(() => false)]))) return database.sever();
    await delay(againMs, undefined, { ref: false });
  }
}
