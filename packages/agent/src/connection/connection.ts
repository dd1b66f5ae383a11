import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "@decnet/common/logging/logger";
import { clockSkewMs, createKeyAndCsr, readCertificate } from "@decnet/common/pki/certificates";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { backoffMs } from "@decnet/common/runtime/backoff";
import type { AgentFacts, RegisterResponse } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { DriftPolicy as PolicyMessage } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { parseDeckyRef, toRefMessage } from "@decnet/engine/wire/decky-spec";
import type { Runner } from "../deckies/runner.ts";
import type { SpecStore } from "../deckies/spec-store.ts";
import type { DriftPolicy } from "../deckies/watch.ts";
import type { AgentIdentity } from "../identity.ts";
import type { ReportQueue } from "../reports/report-queue.ts";
import { connectMaster, type MasterClient } from "./master-client.ts";
import { serveMaster } from "./serve-master.ts";

export interface ConnectionOptions {
  readonly identity: AgentIdentity;
  readonly instanceId: string;
  readonly facts: () => Promise<AgentFacts>;
  readonly specs: SpecStore;
  readonly runner: Runner;
  readonly reports: ReportQueue;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  readonly log: Logger;
  readonly stopping: AbortSignal;
  readonly lookedMsAgo: () => number | undefined;
  readonly onResync: () => void;
  readonly onPolicy: (policy: DriftPolicy) => void;
  readonly onIdentity: (identity: AgentIdentity) => Promise<void>;
}

export interface Connection {
  /** What `decnet agent status` and the log say about the connection. */
  state(): { readonly connected: boolean; readonly message: string; readonly hostName: string };
  /** Resolves after the signal that says that the agent stops. */
  readonly done: Promise<void>;
}

const reportBatch = 50;
const heartbeatMs = 5_000;
const reportMs = 15_000;
/** When a thousand come back at once, they wait for each other. */
const registerMs = 30_000;
const retryBackoff = { baseMs: 500, maxMs: 10_000 };
/** Why a connection ended that is opened again at once, to the same master, with the new certificate. */
const renewedMessage = "the certificate was renewed";

/** Stays connected to one of the masters: registers, serves, reports, renews. Every failure is tried again, with a jittered backoff. */
export function keepConnected(options: ConnectionOptions): Connection {
  const { log, stopping, specs, runner, reports } = options;
  let identity = options.identity;
  let current = { connected: false, message: "not connected yet", hostName: identity.hostName };

  const run = async () => {
    let failures = 0;
    for (let attempt = 0; !stopping.aborted; attempt += 1) {
      const address = identity.masters[attempt % identity.masters.length] ?? "";
      const since = Date.now();
      const message = await once(address).catch((error: unknown) => describe(error));
      const wasUp = current.connected;
      current = { ...current, connected: false, message };
      if (stopping.aborted) return;
      if (message === renewedMessage) {
        attempt -= 1;
        failures = 0;
        continue;
      }
      failures = wasUp && Date.now() - since > 10_000 ? 0 : failures + 1;
      const waitMs = backoffMs(failures, { baseMs: 250, maxMs: 5_000 }, Math.random);
      log.warn("not connected to the master", { address, why: message, againInMs: waitMs });
      await delay(waitMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  };

  /** One connection from its registration to its end; resolves with why it ended. */
  const once = async (address: string): Promise<string> => {
    const client = connectMaster(identity, address);
    const ending = new AbortController();
    try {
      const registered = await register(client);
      const link = await serveMaster({
        ...options,
        identity,
        address,
        signal: stopping,
        onDefect: (error) => log.error("a request of the master could not be handled", { err: error }),
      });
      current = { connected: true, message: `connected to ${address}`, hostName: registered.hostName };
      log.info("connected to the master", { address, host: registered.hostName });
      const signal = AbortSignal.any([stopping, ending.signal]);
      const reporting = report(client, signal).catch((error: unknown) => link.close(describe(error)));
      const renewing = renewInTime(client, signal).then(
        (renewed) => void (renewed && link.close(renewedMessage)),
        (error: unknown) => link.close(describe(error)),
      );
      const why = await link.closed;
      ending.abort();
      await Promise.all([reporting, renewing]);
      return why;
    } finally {
      ending.abort();
      client.close();
    }
  };

  const register = async (client: MasterClient): Promise<RegisterResponse> => {
    const answer = await client.registration.register(
      {
        facts: await options.facts(),
        instanceId: options.instanceId,
        reportStream: reports.stream,
        accepted: specs.list().map(({ target: { spec, id } }) => ({ decky: toRefMessage(spec), id, revision: spec.revision })),
      },
      { timeoutMs: registerMs, signal: stopping },
    );
    await reports.acknowledge(answer.acknowledged);
    takePolicy(answer.driftPolicy);
    options.onResync();
    const nothing = () => undefined;
    for (const ref of answer.remove) {
      const decky = { kind: "absent" as const, ...parseDeckyRef(ref) };
      log.info("removing a decky that lives elsewhere now", { decky: decky.name });
      // A failure is repaired by the next look: the spec is marked as leaving.
      void runner.remove(decky, { expectedDigest: "", onPlan: nothing, onStep: nothing }).catch((error: unknown) => {
        log.warn("a decky could not be removed", { decky: decky.name, err: error });
      });
    }
    return answer;
  };

  const takePolicy = (policy: PolicyMessage) => options.onPolicy(policy === PolicyMessage.REPORT ? "report" : "repair");

  /** A master that is too busy for a report is still there: coming back would cost it more. Whether it is there is told by the connection itself. */
  const report = async (client: MasterClient, signal: AbortSignal): Promise<void> => {
    let failures = 0;
    while (!signal.aborted) {
      const items = reports.peek(reportBatch);
      const looked = options.lookedMsAgo();
      try {
        const answer = await client.registration.report(
          { reportStream: reports.stream, items: [...items], ...(looked === undefined ? {} : { lookedMsAgo: looked }) },
          { timeoutMs: reportMs, signal },
        );
        takePolicy(answer.driftPolicy);
        await reports.acknowledge(answer.acknowledged);
        if (answer.fullResync) options.onResync();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (isPassing(error)) {
          failures += 1;
          const waitMs = backoffMs(failures, retryBackoff, Math.random);
          log.warn("the master did not take a report", { why: describe(error), againInMs: waitMs });
          await delay(waitMs, undefined, { signal }).catch(() => undefined);
          continue;
        }
        const failure = fromConnectError(error);
        if (failure.reason !== "DECKY_NOT_ON_HOST") throw error;
        const name = failure.metadata["decky"];
        log.warn("the master does not take reports about a decky that is not ours any more", { decky: name });
        await reports.drop(({ item }) => item.case !== "gap" && item.case !== "engine" && item.value?.decky?.name === name);
      }
      if (reports.length === 0) await reports.bell.wait(heartbeatMs, signal);
    }
  };

  /** Waits for two thirds of the certificate's life, then gets a new one. Resolves false when the connection ended before. */
  const renewInTime = async (client: MasterClient, signal: AbortSignal): Promise<boolean> => {
    const { notBefore, notAfter } = readCertificate(identity.certificate);
    const lifeMs = notAfter.getTime() - notBefore.getTime() - clockSkewMs;
    const dueAt = notAfter.getTime() - lifeMs / 3;
    for (let left = dueAt - Date.now(); left > 0; left = dueAt - Date.now()) {
      await delay(Math.min(left, 60_000), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return false;
    }
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: identity.hostName });
    const { certificate } = await client.enrollment.renewCertificate({ csr: csrPem }, { timeoutMs: 15_000, signal });
    identity = { ...identity, keyPem, certificate };
    await options.onIdentity(identity);
    log.info("the certificate was renewed", { until: readCertificate(certificate).notAfter.toISOString() });
    return true;
  };

  return {
    state: () => current,
    done: run(),
  };
}

/** Says nothing against the next try. */
function isPassing(error: unknown): boolean {
  const codes = [Code.Unavailable, Code.DeadlineExceeded, Code.ResourceExhausted, Code.Aborted, Code.Canceled];
  return error instanceof ConnectError && codes.includes(error.code);
}

function describe(error: unknown): string {
  if (!(error instanceof ConnectError)) return error instanceof Error ? error.message : String(error);
  const failure = fromConnectError(error);
  if (error.code === Code.Unavailable) return failure.message;
  return [`${failure.reason}: ${failure.message}`, ...failure.next].join("; ");
}
