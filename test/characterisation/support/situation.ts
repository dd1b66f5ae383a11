import type { MessageInitShape } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type Decky, DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { DriftPolicy, MovePolicy, WantedFleetSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import {
  type BatchMutateRequestSchema,
  UpdateMode,
  type UpdateServiceConfigRequestSchema,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import {
  type MutationOptionsSchema,
  OnFailure,
  type Operation,
  StepState,
  Wait,
  WhenAway,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Host } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { formatPlan, lines, stateOf } from "./format.ts";
import { byPlace, createReading, isOver, until } from "./reading.ts";
import type { Stage } from "./stage.ts";

export type Options = MessageInitShape<typeof MutationOptionsSchema>;

/** A wanted decky: its services, with settings or without, and where. */
export interface Wanted {
  readonly services: readonly string[] | Readonly<Record<string, Readonly<Record<string, string | number>>>>;
  readonly host?: string;
  readonly hostname?: string;
}

export interface FleetOptions {
  readonly drift?: DriftPolicy;
  readonly moves?: MovePolicy;
}

/** Answered when the change is stored, not when it is over. */
export const later = { wait: Wait.ACCEPTED } as const satisfies Options;

/** What fails stays as it is. */
export const keep = { onFailure: OnFailure.KEEP } as const satisfies Options;

/** Refused, or given up, rather than queued for a host that is away. */
export const refuse = { whenAway: WhenAway.REFUSE } as const satisfies Options;

export const engineAway = () => new AppError("ENGINE_UNAVAILABLE", "the engine does not answer");

/**
 * One situation: calls are noted with what they returned, and at the end all that can be read of what happened, through the
 * same calls that everybody has. `deploy` is not part of it: it begins when the first decky is there.
 */
export interface Situation {
  /** Sets the stage; not recorded, unless `begin` was called before. */
  deploy(deckies: Readonly<Record<string, Wanted>>, fleet?: FleetOptions): Promise<void>;
  /** What happened so far is not recorded. */
  begin(): Promise<void>;
  apply(deckies: Readonly<Record<string, Wanted>>, options?: Options, fleet?: FleetOptions): Promise<Operation | undefined>;
  add(decky: string, service: string, config?: Config, options?: Options): Promise<Operation | undefined>;
  remove(decky: string, service: string, options?: Options): Promise<Operation | undefined>;
  update(decky: string, service: string, change: Update, options?: Options): Promise<Operation | undefined>;
  restore(decky: string, revision: number, service?: string, options?: Options): Promise<Operation | undefined>;
  teardown(decky: string, options?: Options): Promise<Operation | undefined>;
  teardownFleet(options?: Options): Promise<Operation | undefined>;
  batch(what: string, request: MessageInitShape<typeof BatchMutateRequestSchema>): Promise<void>;
  cancel(operation: Operation | undefined, reason?: string, by?: "olga"): Promise<void>;
  drain(host: string, options?: Options): Promise<Operation | undefined>;
  decommission(host: string, force: boolean, options?: Options): Promise<Operation | undefined>;
  /** By the names of their deckies. */
  parts(operation: Operation | undefined): Promise<Operation[]>;
  /** Those that were called for first, each followed by its parts. */
  all(): Promise<Operation[]>;
  host(name: string): Promise<Host | undefined>;
  /** What the master began by itself. */
  begun(): Promise<Operation[]>;
  /** Makes a plan, notes it, and returns its digest. */
  plan(what: string, call: (options: Options) => Promise<Operation | undefined>): Promise<string>;
  /** Waits until this step runs, as everybody can see. */
  untilStep(operation: Operation | undefined, verb: string, service: string): Promise<void>;
  untilEnded(operation: Operation | undefined): Promise<void>;
  untilState(decky: string, state: DeckyState): Promise<void>;
  until(what: string, holds: () => Promise<boolean>): Promise<void>;
  /** Waits until there are so many operations. */
  untilOperations(count: number): Promise<void>;
  get(decky: string): Promise<Decky | undefined>;
  /** Writes down how things are in the middle. */
  note(what: string): Promise<void>;
  /** Also tells of this host. */
  about(host: string): void;
  /** All of it as text. Waits until every operation is over, unless some are to stay open. */
  tell(title: string): Promise<string>;
  /** Not everything is over at the end. */
  leaveOpen(): void;
}

type Config = Readonly<Record<string, string | number>>;
type Update = Pick<MessageInitShape<typeof UpdateServiceConfigRequestSchema>, "config" | "mode" | "clearSecrets" | "apply">;

export function createSituation({ master, cancelAsOlga }: Stage): Situation {
  const calls: string[] = [];
  const ids: string[] = [];
  const names = new Set<string>();
  const hosts = new Set<string>();
  const reading = createReading(master);
  let isOpen = false;

  const register = (operation: Operation | undefined) => {
    if (operation === undefined || operation.id === "" || ids.includes(operation.id)) return;
    ids.push(operation.id);
  };

  /** Notes a call and what it returned; a refusal is noted too. */
  const call = async (what: string, made: Promise<{ operation?: Operation | undefined }>): Promise<Operation | undefined> => {
    try {
      const { operation } = await made;
      register(operation);
      const answer =
        operation === undefined ? "nothing" : operation.id === "" ? "a plan" : `${operation.id} ${stateOf(operation)}`;
      calls.push(`${what} -> ${answer}`);
      return operation;
    } catch (error) {
      const { reason, message, operation } = fromConnectError(error);
      register(operation);
      calls.push(`${what} -> ${operation === undefined ? "refused" : operation.id} ${reason}: ${message}`);
      return operation;
    }
  };

  const fleetOf = (deckies: Readonly<Record<string, Wanted>>, { drift, moves }: FleetOptions = {}) => {
    for (const name of Object.keys(deckies)) names.add(name);
    const fleet: MessageInitShape<typeof WantedFleetSchema> = {
      lan: master.lan,
      ...(drift === undefined ? {} : { driftPolicy: drift }),
      ...(moves === undefined ? {} : { movePolicy: moves }),
      deckies: Object.entries(deckies).map(([name, { services, host, hostname }]) => ({
        name,
        ...(hostname === undefined ? {} : { hostname }),
        ...(host === undefined ? {} : { placement: { where: { case: "host", value: host } } }),
        services: Array.isArray(services)
          ? services.map((slug: string) => ({ slug }))
          : Object.entries(services).map(([slug, config]) => ({ slug, config: config as Record<string, string | number> })),
      })),
    };
    return fleet;
  };
  const optional = (options: Options | undefined) => (options === undefined ? {} : { options });
  const described = (options: Options | undefined) => {
    const { wait: _, dryRun: __, onFailure, whenAway, expectedPlan, ...rest } = options ?? {};
    const words = {
      ...rest,
      ...(onFailure === undefined ? {} : { onFailure: OnFailure[onFailure] }),
      ...(whenAway === undefined ? {} : { whenAway: WhenAway[whenAway] }),
      ...(expectedPlan === undefined ? {} : { expectedPlan }),
    };
    return Object.keys(words).length === 0 ? "" : ` ${JSON.stringify(words)}`;
  };
  const withNames = ({ mode, ...rest }: Update) => (mode === undefined ? rest : { ...rest, mode: UpdateMode[mode] });
  const service = (decky: string, slug: string) => ({ decky: { name: decky }, service: slug });

  return {
    async begin() {
      await reading.begin();
      calls.length = 0;
      ids.length = 0;
    },
    async deploy(deckies, fleet) {
      await master.fleet.applyFleet({ fleet: fleetOf(deckies, fleet) });
      await this.begin();
    },
    apply: (deckies, options, fleet) =>
      call(
        `apply fleet of ${Object.entries(deckies)
          .map(([name, { services, host }]) => {
            const slugs = Array.isArray(services) ? services : Object.keys(services);
            return `${name} (${slugs.join(" ")})${host === undefined ? "" : ` on ${host}`}`;
          })
          .join(", ")}${described(options)}`,
        master.fleet.applyFleet({ fleet: fleetOf(deckies, fleet), ...optional(options) }),
      ),
    add: (decky, slug, config, options) =>
      call(
        `add ${slug} to ${decky}${config === undefined ? "" : ` ${JSON.stringify(config)}`}${described(options)}`,
        master.mutations.addService({
          ...service(decky, slug),
          ...(config === undefined ? {} : { config }),
          ...optional(options),
        }),
      ),
    remove: (decky, slug, options) =>
      call(
        `remove ${slug} from ${decky}${described(options)}`,
        master.mutations.removeService({ ...service(decky, slug), ...optional(options) }),
      ),
    update: (decky, slug, change, options) =>
      call(
        `update ${slug} of ${decky} ${JSON.stringify(withNames(change))}${described(options)}`,
        master.mutations.updateServiceConfig({ ...service(decky, slug), ...change, ...optional(options) }),
      ),
    restore: (decky, revision, slug = "", options) =>
      call(
        `restore ${slug === "" ? decky : `${slug} of ${decky}`} from revision ${revision}${described(options)}`,
        master.fleet.restoreRevision({ ...service(decky, slug), revision, ...optional(options) }),
      ),
    teardown: (decky, options) =>
      call(
        `tear down ${decky}${described(options)}`,
        master.fleet.teardownDecky({ decky: { name: decky }, ...optional(options) }),
      ),
    teardownFleet: (options) =>
      call(`tear the fleet down${described(options)}`, master.fleet.teardownFleet({ ...optional(options) })),
    async batch(what, request) {
      const told: string[] = [];
      try {
        for await (const { item } of master.mutations.batchMutate(request))
          if (item.case === "summary") {
            const { operation, total, done, failed, queued, skipped, finished } = item.value;
            if (operation !== "" && !ids.includes(operation)) ids.push(operation);
            const counts = `${total} in all, ${done} done, ${failed} failed, ${queued} queued, ${skipped} not begun`;
            told.push(`  ${operation || "no operation"}: ${counts}${finished ? ", finished" : ""}`);
          } else if (item.case === "result") {
            const { index, decky, service: slug, operation, error } = item.value;
            const end = operation === undefined ? "no operation" : `${operation.id || "a plan"} ${stateOf(operation)}`;
            const why = error === undefined ? "" : ` ${error.reason}: ${error.message}`;
            const plan = operation?.id === "" && operation.plan !== undefined ? `\n${formatPlan(operation.plan)}` : "";
            told.push(`  ${index} ${decky?.name} ${slug}: ${end}${why}${plan}`);
          }
      } catch (error) {
        const { reason, message } = fromConnectError(error);
        told.push(`  refused ${reason}: ${message}`);
      }
      calls.push(lines([`batch: ${what}`, ...told]));
    },
    async cancel(operation, reason = "", by) {
      const id = operation?.id ?? "";
      // Whether it is over by the time of the answer is a matter of luck.
      const made = by === undefined ? master.operations.cancelOperation({ id, reason }) : cancelAsOlga({ id, reason });
      const answer = await made.then(
        () => "taken",
        (error: unknown) => {
          const failure = fromConnectError(error);
          return `refused ${failure.reason}: ${failure.message}`;
        },
      );
      calls.push(
        `cancel ${id}${by === undefined ? "" : ` by ${by}`}${reason === "" ? "" : ` ${JSON.stringify({ reason })}`} -> ${answer}`,
      );
    },
    drain: (host, options) =>
      call(`drain ${host}${described(options)}`, master.swarm.drainHost({ name: host, ...optional(options) })),
    decommission: (host, force, options) =>
      call(
        `decommission ${host}${force ? " by force" : ""}${described(options)}`,
        master.swarm.decommissionHost({ name: host, force, ...optional(options) }),
      ),
    async parts(operation) {
      const { children } = await reading.operation(operation?.id ?? "");
      return (await Promise.all(children.map((id) => reading.operation(id)))).sort(byPlace);
    },
    all: () => reading.operations(ids),
    host: async (name) => (await master.swarm.getHost({ name })).host,
    begun: async () => (await reading.operations(ids)).filter(({ id, parent }) => parent === "" && !ids.includes(id)),
    async plan(what, made) {
      const operation = await made({ dryRun: true });
      if (operation?.plan === undefined) return "";
      calls.push(lines([`the plan of ${what}, ${operation.id || "without an id"}:`, formatPlan(operation.plan)]));
      return operation.plan.digest;
    },
    untilStep: (operation, verb, slug) =>
      until(`${verb} of ${slug} runs`, async () =>
        (await reading.operation(operation?.id ?? "")).steps.some(
          (step) => step.verb === verb && step.service === slug && step.state === StepState.RUNNING,
        ),
      ),
    untilEnded: (operation) => until("the operation is over", async () => isOver(await reading.operation(operation?.id ?? ""))),
    untilState: (name, state) =>
      until(`${name} is ${DeckyState[state]}`, async () => {
        const { decky } = await master.fleet.getDecky({ decky: { name } });
        return decky?.state === state;
      }),
    until,
    untilOperations: (count) => until(`${count} operations`, async () => (await reading.operations([])).length >= count),
    get: async (name) => (await master.fleet.getDecky({ decky: { name } })).decky,
    async note(what) {
      const deckies = await Promise.all([...names].sort().map((name) => reading.decky(name)));
      calls.push(lines([`at this point, ${what}:`, ...deckies.flatMap((text) => text.split("\n").map((line) => `  ${line}`))]));
    },
    about: (host) => void hosts.add(host),
    leaveOpen() {
      isOpen = true;
    },
    async tell(title) {
      if (!isOpen) await reading.untilOver();
      return reading.tell({ title, calls, calledFor: ids, deckies: [...names], hosts: [...hosts] });
    },
  };
}
