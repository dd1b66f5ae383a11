import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { AgentFactsSchema, type RegisterRequest, type ReportRequest } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { admit } from "../decide/admission.ts";
import type { WhenBehind } from "../decide/resolve-behind.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { DriftPolicy } from "../model/decky.ts";
import type { Host } from "../model/host.ts";
import type { Turn, Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import { compareAccepted } from "./accepted-specs.ts";
import type { AgentCaller, AgentSessions } from "./agent-sessions.ts";
import { watchDriftPolicy } from "./drift-policy.ts";
import type { HostCalls } from "./host-calls.ts";
import { createReportLimits } from "./report-limits.ts";
import { takeReports } from "./reports.ts";

export interface RegistrationOptions {
  readonly store: Store;
  readonly registry: HostRegistry;
  readonly sessions: AgentSessions;
  readonly calls: HostCalls;
  readonly log: Logger;
  readonly stopping: AbortSignal;
  readonly catalogueDigest: string;
  readonly version: string;
  readonly whenBehind: WhenBehind;
}

/** Everything else of it is read, locked, where it is used. */
type RegisteredHost = Pick<Host, "id" | "name">;

export interface Registration {
  /**
   * Refuses a second agent while the first one answers, and what does not fit this master. `signal` is the caller's: one that
   * is gone is not served.
   */
  register(
    host: RegisteredHost,
    request: RegisterRequest,
    from: AgentCaller["from"],
    signal: AbortSignal,
  ): Promise<{
    acknowledged: bigint;
    remove: readonly { readonly scope: string; readonly name: string }[];
    driftPolicy: DriftPolicy;
  }>;
  /**
   * Takes reports in order, once each. Throws DECKY_NOT_ON_HOST for a report about a decky that is another host's; nothing of
   * it is stored then; HOST_BUSY when the host reports more than one ever has to say, or all at once.
   */
  report(
    host: RegisteredHost,
    request: ReportRequest,
    from: AgentCaller["from"],
    signal: AbortSignal,
  ): Promise<{ acknowledged: bigint; fullResync: boolean; driftPolicy: DriftPolicy }>;
  /** The fleet's drift policy was stored: when it is another one now, connected agents are told at once. */
  notePolicy(): void;
}

const turn = (signal: AbortSignal): Turn => ({ of: "agents", signal });

const mostNamed = 5;

function messageOf(strays: readonly string[]): string {
  const named = strays.slice(0, mostNamed).map((key) => key.replace(/^fleet\//, ""));
  const more = strays.length > named.length ? ` and ${strays.length - named.length} more` : "";
  return `it runs ${named.join(", ")}${more}, not known here: left alone, until DECNET_WHEN_BEHIND=overwrite removes them`;
}

/** The database counts no further. */
const lastSequence = 2n ** 62n;

export function createRegistration(options: RegistrationOptions): Registration {
  const { store, registry, sessions, calls, log } = options;
  const limits = createReportLimits();
  /** The newest report of each host that was taken in this master's life, for heartbeats. */
  const newestTaken = new Map<string, bigint>();

  const policy = watchDriftPolicy(options);

  return {
    async register(host, request, from, signal) {
      if (!/^[\w-]{1,64}$/.test(request.reportStream))
        throw new AppError("REQUEST_INVALID", "report_stream: is letters, digits, - and _, at most 64");
      admit(request.facts, { catalogueDigest: options.catalogueDigest, version: options.version, now: new Date() });
      const caller = { from, instanceId: request.instanceId };
      await sessions.requireFirst(host, caller);
      const work = async (tx: Tx) => {
        const now = await store.hosts.lock(tx, host.id);
        if (now?.decommissionedAt !== null) throw new AppError("CERTIFICATE_REFUSED", "the certificate is revoked");
        const acknowledged = now.reportStream === request.reportStream ? BigInt(now.reportSequence) : 0n;
        const { remove, strays } = await compareAccepted(tx, host, request.accepted, options);
        if (strays.length > 0) log.warn("a host has deckies that are not known here", { host: host.name, strays });
        await store.hosts.update(tx, host.id, {
          ...(request.facts === undefined ? {} : { agentInfo: toJson(AgentFactsSchema, request.facts) as JsonObject }),
          engineProblem: request.facts?.engineProblem ?? "",
          address: from.address,
          message: strays.length === 0 ? "" : messageOf(strays),
          lastSeen: new Date(),
          reportStream: request.reportStream,
          reportSequence: String(acknowledged),
        });
        return { acknowledged, remove };
      };
      const answer = await calls.run(host, signal, (ending) => store.transaction(work, turn(ending)));
      sessions.begin(host, caller);
      newestTaken.set(host.id, answer.acknowledged);
      return { ...answer, driftPolicy: await policy.read() };
    },
    async report(host, request, from, signal) {
      await sessions.requireOwn(host, { from, instanceId: request.instanceId }, "reported");
      if (request.lookedMsAgo !== undefined) registry.connected(host.name)?.noteCheck(new Date(Date.now() - request.lookedMsAgo));
      if (request.items.length === 0) {
        const driftPolicy = await policy.recent();
        return { acknowledged: newestTaken.get(host.id) ?? 0n, fullResync: registry.takeResync(host.name), driftPolicy };
      }
      if (!limits.admits(host.id, request.items.length))
        throw new AppError("HOST_BUSY", `${host.name} reports more than a worker has to say`, {
          metadata: { host: host.name },
          retryAfterMs: 10_000,
        });
      const work = async (tx: Tx) => {
        for (const { sequence } of request.items)
          if (sequence < 1n || sequence > lastSequence)
            throw new AppError("REQUEST_INVALID", `items.sequence: is from 1 to ${lastSequence}`);
        const now = await store.hosts.lock(tx, host.id);
        if (now?.decommissionedAt !== null) throw new AppError("CERTIFICATE_REFUSED", "the certificate is revoked");
        if (request.reportStream === "" || now.reportStream !== request.reportStream)
          throw new AppError("REQUEST_INVALID", "report_stream: is not the one that was registered");
        const last = BigInt(now.reportSequence);
        const fresh = request.items.filter((item) => item.sequence > last);
        const found = await takeReports(tx, now, fresh, { store, limits });
        const newest = fresh.at(-1)?.sequence ?? last;
        const first = fresh[0];
        const isGap = first !== undefined && first.sequence > last + 1n;
        await store.hosts.update(tx, host.id, { reportSequence: String(newest), lastSeen: new Date() });
        store.events.append(tx, found);
        return { events: found, acknowledged: newest, fullResync: isGap };
      };
      const { events, ...answer } = await calls.run(host, signal, (ending) => store.transaction(work, turn(ending)));
      newestTaken.set(host.id, answer.acknowledged);
      if (events.length > 0) store.events.wake();
      const fullResync = registry.takeResync(host.name) || answer.fullResync;
      return { ...answer, fullResync, driftPolicy: await policy.read() };
    },
    // One that cannot be read now is read again before long.
    notePolicy: () => void policy.read().catch(() => undefined),
  };
}
