import { AppError } from "@decnet/common/errors/app-error";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import type { RemovedOrphan } from "@decnet/engine/host/orphans";
import { belongingsOf, type HostOrphans, type OrphanView } from "@decnet/engine/observe/leftovers";
import { digestOf } from "@decnet/engine/plan/plan";
import type { HostRegistry } from "../links/host-registry.ts";
import {
  emptyPlan,
  makeOperation,
  type Operation,
  type OperationError,
  type OperationRecord,
  type OperationStep,
  type PlanRecord,
} from "../model/operation.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";

export interface OrphansRequest extends ChangeRequest {
  /** The host. */
  readonly name: string;
  /** Empty: this one. */
  readonly installation: string;
  /** Empty: all. */
  readonly keys: readonly string[];
}

/** What carries our mark on a host and belongs to nothing. Nothing of it is removed unless somebody says so. */
export interface Orphans {
  /** Throws HOST_NOT_FOUND, HOST_UNREACHABLE or VERSION_SKEW. */
  list(host: string, installation: string): Promise<HostOrphans>;
  /** Also throws ORPHAN_NOT_FOUND for a key that no orphan has. */
  remove(request: OrphansRequest): Promise<OperationRecord>;
  /** What another master decided, of a host that this one has. Throws HOST_UNREACHABLE. */
  removeForPeer(removal: PeerRemoval): Promise<readonly RemovedOrphan[]>;
}

export interface PeerRemoval {
  readonly host: string;
  /** Empty: this one. */
  readonly installation: string;
  readonly keys: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

export interface OrphansOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: HostRegistry;
  readonly stopping: AbortSignal;
}

interface PlannedRemoval extends PlannedChange {
  readonly orphans: readonly OrphanView[];
  readonly plan: PlanRecord;
}

export function createOrphans({ store, door, hosts, stopping }: OrphansOptions): Orphans {
  /** One removal after the other on each host. */
  const turns = createExclusive(Number.POSITIVE_INFINITY);

  /** Deckies that live there, and those that still have to be removed from there. */
  const belongingsOn = (host: string) => async () =>
    belongingsOf(await store.transaction((tx) => store.deckies.concerning(tx, host)));

  const linkTo = async (host: string) => {
    if (!hosts.isMasters(host)) await store.hosts.find(host);
    return hosts.link(host);
  };

  const list: Orphans["list"] = async (host, installation) => (await linkTo(host)).orphans(installation, belongingsOn(host));

  const operationOf = (request: OrphansRequest, plan: PlanRecord): Operation =>
    makeOperation({ ...requested(request), kind: "remove_orphans", host: request.name, plan });

  const planFor = async (request: OrphansRequest): Promise<PlannedRemoval> => {
    const { name, installation, keys } = request;
    const found = await list(name, installation);
    const wanted = new Set(keys);
    const orphans = wanted.size === 0 ? found.orphans : found.orphans.filter(({ key }) => wanted.has(key));
    for (const { key } of orphans) wanted.delete(key);
    const [missing] = wanted;
    if (missing !== undefined && keys.length > 0)
      throw new AppError("ORPHAN_NOT_FOUND", `there is no orphan ${JSON.stringify(missing)} on ${name}`, {
        metadata: { host: name },
      });
    const kept = found.others.find((other) => other.installation === installation && other.isKept);
    if (kept !== undefined)
      throw new AppError("INSTALLATION_KEPT", `the installation ${installation}, ${kept.standing}, looks after its own`, {
        metadata: { installation },
      });
    const plan = planOf(orphans, found.unseen);
    return { orphans, plan, digest: plan.digest, record: dryRunRecord(operationOf(request, plan)) };
  };

  /** The plan names each of them: what came since is not in it, and what belongs to somebody by now is left alone. */
  const remove = async (request: OrphansRequest, planned: PlannedRemoval): Promise<OperationRecord> => {
    const startedAt = new Date();
    const { orphans, plan } = planned;
    const link = await linkTo(request.name);
    const removed =
      orphans.length === 0
        ? []
        : await link.removeOrphans({
            installation: request.installation,
            keys: new Set(orphans.map(({ key }) => key)),
            belongings: belongingsOn(request.name),
            signal: stopping,
          });
    const finishedAt = new Date();
    const failed = removed.filter(({ problem }) => problem !== "");
    const error = failed.length === 0 ? null : errorOf(failed);
    const end = error === null ? "succeeded" : "failed";
    const row: Operation = { ...operationOf(request, plan), startedAt, finishedAt, state: end, error };
    const steps = removed.map(
      ({ orphan, problem }, index): OperationStep => ({
        operationId: row.id,
        attempt: 1,
        number: index + 1,
        ...stepOf(orphan),
        state: problem === "" ? "succeeded" : "failed",
        outputTail: problem === "" ? [] : [problem],
        startedAt,
        finishedAt,
      }),
    );
    await store.transaction((tx) => store.operations.insertEnded(tx, row, steps));
    return { row, steps, children: [] };
  };

  return {
    list,
    // What belongs to somebody is what is stored, whatever the other master knew.
    removeForPeer: ({ host, installation, keys, signal }) =>
      turns.run(host, signal, () =>
        hosts.link(host).removeOrphans({ installation, keys, belongings: belongingsOn(host), signal }),
      ),
    // A repeated call finds the operation, which is stored at the end.
    remove: (request) =>
      turns.run(request.name, stopping, () =>
        door.accept<PlannedRemoval>(request, {
          what: `host ${request.name}`,
          plan: () => planFor(request),
          hostsNeeded: async () => [request.name],
          async store(agreed) {
            const planned = await planFor(request);
            if (agreed !== undefined && agreed.digest !== planned.digest) throw planMoved(`host ${request.name}`, agreed.digest);
            return remove(request, planned);
          },
        }),
      ),
  };
}

function stepOf({ kind, name, reason }: OrphanView) {
  return { verb: `remove-${kind}`, target: name, cause: reason, service: "" };
}

function planOf(orphans: readonly OrphanView[], unseen: readonly string[]): PlanRecord {
  return emptyPlan({
    steps: orphans.map((orphan, index) => ({ number: index + 1, ...stepOf(orphan) })),
    digest: digestOf(orphans.map(({ key }) => key)),
    text: orphans.map(({ kind, name, reason }) => `remove ${kind} ${name}: ${reason}`).join("\n") || "nothing to do",
    ...(unseen.length === 0 ? {} : { warnings: unseen.map((what) => `not looked at: ${what}`) }),
  });
}

function errorOf(failed: readonly { readonly orphan: OrphanView; readonly problem: string }[]): OperationError {
  const told = failed.slice(0, 5).map(({ orphan: { kind, name }, problem }) => `${kind} ${name}: ${problem}`);
  const more = failed.length > told.length ? [`and ${failed.length - told.length} more`] : [];
  return { reason: "APPLY_FAILED", message: [...told, ...more].join("; "), next: [], outputTail: [], undone: false };
}
