import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "@decnet/common/logging/logger";
import { createErrorInterceptor } from "@decnet/common/rpc/error-interceptor";
import { createRefusalLog } from "@decnet/common/rpc/log-refusals";
import { type RpcServer, startRpcServer } from "@decnet/common/rpc/server";
import type { TlsOptions } from "@decnet/common/rpc/tls-listener";
import { createValidationInterceptor } from "@decnet/common/rpc/validate-requests";
import { createServedCallSpans } from "@decnet/common/tracing/call-spans";
import type { AcceptedCertificates } from "./access/accepted-certificates.ts";
import { callerName, createAuditInterceptor } from "./access/audit.ts";
import { createAdmission, createAuthInterceptor } from "./access/authenticate.ts";
import type { OpenStreams } from "./access/open-streams.ts";
import { agentCalls, masterCalls } from "./access/roles.ts";
import type { MasterConfig } from "./config.ts";
import type { Metrics } from "./metrics.ts";
import { createPlainHttp } from "./plain-http.ts";
import type { Readiness } from "./readiness.ts";
import { requestLimits } from "./rpc/routes.ts";
import { createTopologyNaming } from "./rpc/topology-naming.ts";
import type { Store } from "./store/store.ts";

export interface CallsOptions {
  readonly config: MasterConfig;
  readonly log: Logger;
  readonly store: Store;
  readonly accepted: AcceptedCertificates;
  readonly streams: OpenStreams;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly routes: (router: ConnectRouter) => void;
  readonly tls: TlsOptions | undefined;
}

/** What each call passes, in this order, whoever makes it. */
export function interceptorsOf({ log, store, streams, metrics }: Pick<CallsOptions, "log" | "store" | "streams" | "metrics">) {
  return [
    metrics.interceptor,
    createRefusalLog(log, callerName),
    createErrorInterceptor(log),
    createAuditInterceptor(store.audit),
    createAuthInterceptor(streams),
    createServedCallSpans(callerName),
    createValidationInterceptor({ refusesTexts: (method) => agentCalls[method] === undefined && !masterCalls.has(method) }),
    createTopologyNaming(store.topologies),
  ];
}

/** The master's ports: who is let in, and what is counted. */
export async function serveCalls(options: CallsOptions): Promise<RpcServer> {
  const { config, log, store, accepted, metrics, readiness, routes, tls } = options;
  const workers = tls === undefined ? [] : await store.hosts.listAll();
  const server = await startRpcServer({
    program: "master",
    host: config.host,
    port: config.port,
    routes,
    interceptors: interceptorsOf(options),
    admission: createAdmission(store.tokens, store.hosts, accepted),
    limits: config.limits,
    expected: workers.filter(({ decommissionedAt }) => decommissionedAt === null).map(({ address }) => address),
    onPressure(what) {
      metrics.refused(what);
      log.warn("too much at once: something was refused or cut", { what });
    },
    provenPaths: ["/metrics"],
    fallback: createPlainHttp({ metrics, readiness, tokens: store.tokens }),
    onDefect: (error) => log.error("a request could not be handled", { err: error }),
    ...requestLimits,
    ...(tls === undefined ? {} : { tls }),
  });
  metrics.watchLoad(server.load);
  return server;
}
