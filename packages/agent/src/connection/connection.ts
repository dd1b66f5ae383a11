import { setTimeout as delay } from "node:timers/promises";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { readCertificate } from "@decnet/common/pki/certificates";
import { backoffMs } from "@decnet/common/runtime/backoff";
import type { ReportResponse } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { DriftPolicy as PolicyMessage } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { DriftPolicy } from "../deckies/watch.ts";
import type { AgentIdentity } from "../identity.ts";
import { describeEnd, type LinkEnd, lost } from "./link-end.ts";
import { connectMaster, type MasterClient } from "./master-client.ts";
import { masterAfter, mergeMasters } from "./masters.ts";
import { type RegisterOptions, registerAgent } from "./register.ts";
import { renewInTime } from "./renew-certificate.ts";
import { sendReports } from "./send-reports.ts";
import { serveMaster } from "./serve-master.ts";

export interface ConnectionOptions extends RegisterOptions {
  readonly identity: AgentIdentity;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  readonly checkedMsAgo: () => number | undefined;
  readonly onResync: () => void;
  readonly onPolicy: (policy: DriftPolicy) => void;
  readonly onIdentity: (identity: AgentIdentity) => Promise<void>;
}

export interface Connection {
  /** What `decnet agent status` and the log say about the connection. */
  state(): { readonly connected: boolean; readonly message: string; readonly hostName: string };
  /** When the certificate ends that it is connected with, or will be. */
  certificateUntil(): Date;
  /** Resolves after the signal that says that the agent stops. */
  readonly done: Promise<void>;
}

const pauses = { baseMs: 250, maxMs: 5_000 };
/** A connection that lasted so long was a good one. */
const steadyMs = 10_000;

/**
 * Stays connected to one of the masters: registers, serves, reports, renews. Every failure is tried again, with a jittered
 * backoff.
 */
export function keepConnected(options: ConnectionOptions): Connection {
  const { log, stopping } = options;
  let identity = options.identity;
  let current = { connected: false, message: "not connected yet", hostName: identity.hostName };

  const run = async () => {
    let failures = 0;
    let address = identity.masters[0] ?? "";
    while (!stopping.aborted) {
      const since = Date.now();
      const end = await once(address).catch(lost);
      const wasUp = current.connected;
      current = { ...current, connected: false, message: describeEnd(end) };
      if (end.kind === "stopping" || stopping.aborted) return;
      if (end.kind === "renewed") {
        failures = 0;
        continue;
      }
      const lostAddress = address;
      address = masterAfter(identity.masters, address);
      failures = wasUp && Date.now() - since > steadyMs ? 0 : failures + 1;
      // Each of the masters is tried before the pause grows: one that is gone for good keeps nobody from the other one.
      const waitMs = backoffMs(Math.floor(failures / Math.max(1, identity.masters.length)), pauses, Math.random);
      log.warn("not connected to the master", { address: lostAddress, why: current.message, againInMs: waitMs });
      await delay(waitMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  };

  /** One connection from its registration to its end; resolves with why it ended. */
  const once = async (address: string): Promise<LinkEnd> => {
    const client = connectMaster(identity, address);
    const ending = new AbortController();
    try {
      const registered = await registerAgent(client, options);
      await takeMasters(registered.masters, address);
      takePolicy(registered.driftPolicy);
      options.onResync();
      const onDefect = (error: unknown) => log.error("a request of the master could not be handled", { err: error });
      const onReportNow = () => options.reports.bell.ring();
      const link = await serveMaster({ ...options, identity, address, signal: stopping, onDefect, onReportNow });
      current = { connected: true, message: `connected to ${address}`, hostName: registered.hostName };
      log.info("connected to the master", { address, host: registered.hostName });
      const signal = AbortSignal.any([stopping, ending.signal]);
      const reporting = sendReports(client, { ...options, onAnswer: takeAnswer(address) }, signal).catch((error: unknown) =>
        link.close(lost(error)),
      );
      const renewing = renew(client, signal).then(
        (isRenewed) => void (isRenewed && link.close({ kind: "renewed" })),
        (error: unknown) => link.close(lost(error)),
      );
      const end = await link.closed;
      ending.abort();
      await Promise.all([reporting, renewing]);
      return end;
    } finally {
      ending.abort();
      client.close();
    }
  };

  const takePolicy = (policy: PolicyMessage) => options.onPolicy(policy === PolicyMessage.REPORT ? "report" : "repair");
  const takeAnswer =
    (address: string) =>
    ({ driftPolicy, fullResync, masters }: ReportResponse) => {
      takePolicy(driftPolicy);
      if (fullResync) options.onResync();
      void takeMasters(masters, address).catch((error: unknown) => log.warn("the masters were not kept", { err: error }));
    };
  /** Where masters are is kept with the identity: a worker that starts while one of them is away tries the next. */
  const takeMasters = async (told: readonly string[], address: string): Promise<void> => {
    const masters = mergeMasters(identity.masters, told, address);
    if (masters.join() === identity.masters.join()) return;
    identity = { ...identity, masters };
    await options.onIdentity(identity);
    log.info("the masters of this worker", { masters });
  };

  const renew = async (client: MasterClient, signal: AbortSignal): Promise<boolean> => {
    const renewed = await renewInTime(client, identity, options.instanceId, signal);
    if (renewed === undefined) return false;
    // Other masters may have been told of meanwhile.
    identity = { ...renewed, masters: identity.masters };
    await options.onIdentity(identity);
    log.info("the certificate was renewed", { until: readCertificate(renewed.certificate).notAfter.toISOString() });
    return true;
  };

  return {
    state: () => current,
    certificateUntil: () => readCertificate(identity.certificate).notAfter,
    done: run(),
  };
}
