import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { AgentFactsSchema, type RegisterRequest, type ReportRequest } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import { admit } from "../decide/admission.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { ArrayContains } from "../store/conditions.ts";
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

export interface Registration {
  /** Refuses a second agent while the first one answers, and what does not fit this master. `signal` is the caller's: one that is gone is not served. */
  register(
    host: HostRow,
    request: RegisterRequest,
    address: string,
    signal: AbortSignal,
  ): Promise<{ acknowledged: bigint; remove: { scope: string; name: string }[]; driftPolicy: "repair" | "report" }>;
  /** Takes reports in order, once each. Throws DECKY_NOT_ON_HOST for a report about a decky that is another host's; nothing of it is stored then. */
  report(
    host: HostRow,
    request: ReportRequest,
    signal: AbortSignal,
  ): Promise<{ acknowledged: bigint; fullResync: boolean; driftPolicy: "repair" | "report" }>;
}

const turn = (signal: AbortSignal): Turn => ({ of: "agents", signal });

/** The database counts no further. */
const lastSequence = 2n ** 62n;

/** What is told of the fleet's policy may be so old. */
const policyMs = 1_000;

export function createRegistration(options: RegistrationOptions): Registration {
  const { database, operations, events, registry, log } = options;
  const take = createReportTaker(operations);
  const instances = new Map<string, string>();

  const policyOf = async (tx: Tx) => (await tx.getRepository(Fleets).findOneBy({ id: 1 }))?.driftPolicy ?? "repair";

  let looked: { readonly at: number; readonly policy: ReturnType<typeof policyOf> } | undefined;
  /** Heartbeats of all hosts share one look at the fleet. */
  const recentPolicy = (): ReturnType<typeof policyOf> => {
    if (looked !== undefined && performance.now() - looked.at < policyMs) return looked.policy;
    const mine = { at: performance.now(), policy: database.read(policyOf) };
    looked = mine;
    mine.policy.catch(() => {
      if (looked === mine) looked = undefined;
    });
    return mine.policy;
  };

  const refuseSecondAgent = async (host: HostRow, instanceId: string, address: string): Promise<void> => {
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
        const isKnownStream = host.reportStream === request.reportStream;
        const acknowledged = isKnownStream ? BigInt(host.reportSequence) : 0n;
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
      return answer;
    },
    async report(host, request, signal) {
      if (request.lookedMsAgo !== undefined) registry.connected(host.name)?.noteLook(new Date(Date.now() - request.lookedMsAgo));
      if (request.items.length === 0) {
        const policy = await recentPolicy();
        return { acknowledged: BigInt(host.reportSequence), fullResync: registry.takeResync(host.name), driftPolicy: policy };
      }
      const { facts, ...answer } = await database.transaction(async (tx) => {
        for (const { sequence } of request.items)
          if (sequence < 1n || sequence > lastSequence)
            throw new AppError("REQUEST_INVALID", `items.sequence: is from 1 to ${lastSequence}`);
        const now = await tx.getRepository(Hosts).findOneOrFail({ where: { id: host.id }, lock: { mode: "pessimistic_write" } });
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
      if (facts.length > 0) events.wake();
      return { ...answer, fullResync: registry.takeResync(host.name) || answer.fullResync };
    },
  };
}
