import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { AgentFactsSchema, type RegisterRequest, type ReportRequest } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import { admit } from "../decide/admission.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { ArrayContains, IsNull } from "../store/conditions.ts";
import type { Database, Turn, Tx } from "../store/database.ts";
import type { OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";
import { Deckies, Fleets, type HostRow, Hosts } from "../store/tables.ts";
import { updateRows } from "../store/write.ts";
import { createReportTaker } from "./reports.ts";

export interface RegistrationOptions {
  readonly database: Database;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly registry: HostRegistry;
  readonly log: Logger;
  readonly catalogueDigest: string;
  readonly version: string;
}

/** Everything else of it is read, locked, when it is needed. */
type RegisteredHost = Pick<HostRow, "id" | "name">;

export interface Registration {
  /** Refuses a second agent while the first one answers, and what does not fit this master. `signal` is the caller's: one that is gone is not served. */
  register(
    host: RegisteredHost,
    request: RegisterRequest,
    address: string,
    signal: AbortSignal,
  ): Promise<{ acknowledged: bigint; remove: { scope: string; name: string }[]; driftPolicy: "repair" | "report" }>;
  /** Takes reports in order, once each. Throws DECKY_NOT_ON_HOST for a report about a decky that is another host's; nothing of it is stored then. */
  report(
    host: RegisteredHost,
    request: ReportRequest,
    signal: AbortSignal,
  ): Promise<{ acknowledged: bigint; fullResync: boolean; driftPolicy: "repair" | "report" }>;
}

const turn = (signal: AbortSignal): Turn => ({ of: "agents", signal });

/** The database counts no further. */
const lastSequence = 2n ** 62n;

/** What is told of the fleet's policy may be so old: heartbeats come less often. */
const policyMs = 5_000;

export function createRegistration(options: RegistrationOptions): Registration {
  const { database, operations, events, registry, log } = options;
  const take = createReportTaker(operations);
  const instances = new Map<string, string>();
  /** The newest report of each host that was taken in this master's life, for heartbeats. */
  const newestTaken = new Map<string, bigint>();

  const policyOf = async (tx: Tx) => (await tx.getRepository(Fleets).findOneBy({ id: 1 }))?.driftPolicy ?? "repair";

  let recent: { readonly at: number; readonly policy: ReturnType<typeof policyOf> } | undefined;
  /** Heartbeats of all hosts share one read. */
  const recentPolicy = (): ReturnType<typeof policyOf> => {
    if (recent !== undefined && performance.now() - recent.at < policyMs) return recent.policy;
    const mine = { at: performance.now(), policy: database.read(policyOf) };
    recent = mine;
    mine.policy.catch(() => {
      if (recent === mine) recent = undefined;
    });
    return mine.policy;
  };

  const refuseSecondAgent = async (host: RegisteredHost, instanceId: string, address: string): Promise<void> => {
    const present = registry.connected(host.name);
    if (present === undefined || instances.get(host.id) === instanceId) return;
    if (!(await present.answers())) return present.close();
    const message = `a second agent with the identity of ${host.name} called from ${address}; the one from ${present.address} goes on`;
    log.warn("a second agent with one identity", { host: host.name, address, connectedFrom: present.address });
    await database.read((tx) => updateRows(tx, Hosts, { id: host.id }, { message }));
    throw new AppError("HOST_ALREADY_CONNECTED", message, { metadata: { host: host.name } });
  };

  return {
    async register(host, request, address, signal) {
      if (!/^[\w-]{1,64}$/.test(request.reportStream))
        throw new AppError("REQUEST_INVALID", "report_stream: is letters, digits, - and _, at most 64");
      admit(request.facts, { catalogueDigest: options.catalogueDigest, version: options.version, now: new Date() });
      await refuseSecondAgent(host, request.instanceId, address);
      const answer = await database.transaction(async (tx) => {
        const now = await lockHost(tx, host.id);
        const acknowledged = now.reportStream === request.reportStream ? BigInt(now.reportSequence) : 0n;
        await updateRows(
          tx,
          Hosts,
          { id: host.id },
          {
            ...(request.facts === undefined ? {} : { facts: toJson(AgentFactsSchema, request.facts) as JsonObject }),
            engineProblem: request.facts?.engineProblem ?? "",
            address,
            message: "",
            lastSeen: new Date(),
            reportStream: request.reportStream,
            reportSequence: String(acknowledged),
          },
        );
        // One that is about to leave this host is removed by its move, when the fleet's policy says so.
        const own = await tx.getRepository(Deckies).findBy([{ host: host.name }, { leavingHosts: ArrayContains([host.name]) }]);
        const accepted = request.accepted.map(({ decky, id }) => ({ ...parseDeckyRef(decky), id }));
        const remove = accepted.filter(
          ({ scope, name, id }) => !own.some((row) => row.scope === scope && row.name === name && row.id === id && !row.leaving),
        );
        return { acknowledged, remove, driftPolicy: await policyOf(tx) };
      }, turn(signal));
      instances.set(host.id, request.instanceId);
      newestTaken.set(host.id, answer.acknowledged);
      return answer;
    },
    async report(host, request, signal) {
      if (request.lookedMsAgo !== undefined) registry.connected(host.name)?.noteLook(new Date(Date.now() - request.lookedMsAgo));
      if (request.items.length === 0) {
        const driftPolicy = await recentPolicy();
        return { acknowledged: newestTaken.get(host.id) ?? 0n, fullResync: registry.takeResync(host.name), driftPolicy };
      }
      const { facts, ...answer } = await database.transaction(async (tx) => {
        for (const { sequence } of request.items)
          if (sequence < 1n || sequence > lastSequence)
            throw new AppError("REQUEST_INVALID", `items.sequence: is from 1 to ${lastSequence}`);
        const now = await lockHost(tx, host.id);
        if (request.reportStream === "" || now.reportStream !== request.reportStream)
          throw new AppError("REQUEST_INVALID", "report_stream: is not the one that was registered");
        const last = BigInt(now.reportSequence);
        const fresh = request.items.filter((item) => item.sequence > last);
        const found = await take(tx, now, fresh);
        const newest = fresh.at(-1)?.sequence ?? last;
        const first = fresh[0];
        const isGap = first !== undefined && first.sequence > last + 1n;
        await updateRows(tx, Hosts, { id: host.id }, { reportSequence: String(newest), lastSeen: new Date() });
        await events.append(tx, found);
        return { facts: found, acknowledged: newest, fullResync: isGap, driftPolicy: await policyOf(tx) };
      }, turn(signal));
      newestTaken.set(host.id, answer.acknowledged);
      if (facts.length > 0) events.wake();
      return { ...answer, fullResync: registry.takeResync(host.name) || answer.fullResync };
    },
  };
}

/** Throws CERTIFICATE_REFUSED for a host that was decommissioned meanwhile. */
async function lockHost(tx: Tx, id: string): Promise<HostRow> {
  const row = await tx
    .getRepository(Hosts)
    .findOne({ where: { id, decommissionedAt: IsNull() }, lock: { mode: "pessimistic_write" } });
  if (row === null) throw new AppError("CERTIFICATE_REFUSED", "the certificate is revoked");
  return row;
}
