import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { JudgedDecky, JudgedService } from "@decnet/engine/diagnose/judge";
import type { ApplyOptions, ApplyOutcome, CheckedDecky, Engine } from "@decnet/engine/engine";
import type { StepFailure } from "@decnet/engine/execute/execute-plan";
import { makeReceipt } from "@decnet/engine/execute/receipt";
import { noSockets, type ObservedContainer, type ObservedDecky } from "@decnet/engine/observe/observed";
import { type Draft, digestOf, formatPlan, type Plan, type Risk, type Step } from "@decnet/engine/plan/plan";
import { deckyNames } from "@decnet/engine/render/names";
import { type DeckySpec, type DeckyTarget, deckyKey, targetKey } from "@decnet/engine/spec";

/** How a step ended that did not act. */
export type Refusal = Pick<StepFailure, "message" | "outputTail">;

/** Where a test takes part. Keys are `<scope>/<name>`. What a hook throws is what the engine throws. */
export interface EngineHooks {
  beforePlan?(key: string): Promise<void>;
  beforeApply?(key: string, signal: AbortSignal): Promise<void>;
  /** A refusal fails the step. */
  beforeStep?(key: string, step: Step, signal: AbortSignal): Promise<Refusal | undefined>;
  /** Returns which deckies this check sees; the others are left out, as those are that change meanwhile. */
  beforeCheck?(): Promise<(key: string) => boolean>;
}

export interface MemoryEngine extends Engine {
  readonly counts: { plans: number; applies: number; checks: number };
  /** Changes the containers of a decky behind everyone's back. */
  alter(key: string, change: (containers: readonly ObservedContainer[]) => readonly ObservedContainer[]): void;
}

/** Where containers are that outlive the engine's process. */
export interface KeptContainers {
  load(): readonly (readonly [key: string, containers: readonly ObservedContainer[]])[];
  save(key: string, containers: readonly ObservedContainer[]): void;
}

export interface MemoryEngineOptions {
  readonly catalog: Pick<Catalog, "services">;
  /** Goes into container ids, so that no two engines make the same ones. */
  readonly instance: string;
  readonly hooks?: EngineHooks;
  /** Undefined: they are gone with this engine. */
  readonly kept?: KeptContainers;
}

/**
 * An engine that makes no container: it keeps them in memory, plans, executes and judges as simply as can be, and counts.
 * For measuring and for recording what is around an engine; everything else is measured and tested on a real one. It has a
 * planner of its own, so that records of the master do not change with the real planner.
 */
export function createMemoryEngine({ catalog, instance, hooks = {}, kept }: MemoryEngineOptions): MemoryEngine {
  const { services } = catalog;
  const counts = { plans: 0, applies: 0, checks: 0 };
  const world = new Map<string, ObservedDecky>();
  /** A spec that was checked before, and a decky that is the same as then, need no second look. */
  const checked = new WeakMap<DeckySpec, CheckedDecky>();
  // Those of an engine before this one are not made a second time.
  let made = kept === undefined ? 0 : Math.floor(Date.now() / 1_000);
  let started = made;
  const portsOf = (slug: string) => services.get(slug)?.ports.map((port) => `${port.number}/${port.protocol}`) ?? [];
  const observe = (key: string): ObservedDecky => {
    const [scope = "", name = ""] = key.split("/");
    return world.get(key) ?? { scope, name, containers: [], sockets: noSockets };
  };
  const put = (key: string, containers: readonly ObservedContainer[]) => {
    const [scope = "", name = ""] = key.split("/");
    const listening = new Set(containers.flatMap(({ status, service: slug }) => (status === "running" ? portsOf(slug) : [])));
    if (containers.length === 0) world.delete(key);
    else world.set(key, { scope, name, containers, sockets: { ...noSockets, listening } });
    kept?.save(key, containers);
  };
  for (const [key, containers] of kept?.load() ?? []) put(key, containers);
  /** Each start has a time of its own. */
  const begin = () => {
    started += 1;
    return { status: "running", pid: started, startedAt: new Date(1_000 * started).toISOString() } as const;
  };

  const create = (key: string, { name, slug, hash }: WantedContainer): ObservedContainer => {
    made += 1;
    const base = observe(key).containers.find((container) => container.role === "base");
    return {
      id: createHash("sha256").update(`${instance} ${made}`).digest("hex"),
      name,
      role: slug === "" ? "base" : "service",
      service: slug,
      hash,
      catalog: "",
      exitCode: 0,
      restartCount: 0,
      netns: key,
      composedAs: "",
      traits: {},
      attachments: [],
      joined: slug === "" ? undefined : (base?.id ?? ""),
      ...begin(),
    };
  };

  /** The containers after the step. */
  const act = (target: DeckyTarget, step: Step): readonly ObservedContainer[] => {
    const key = targetKey(target);
    const { containers } = observe(key);
    const others = containers.filter((container) => container.name !== step.target);
    const patched = (change: Partial<ObservedContainer>) =>
      containers.map((container) => (container.name === step.target ? { ...container, ...change } : container));
    switch (step.verb) {
      case "create":
      case "recreate": {
        const wanted = target.kind === "present" ? wantedContainers(target.spec) : [];
        return [...others, ...wanted.flatMap((each) => (each.name === step.target ? create(key, each) : []))];
      }
      case "start":
      case "restart":
        return patched(begin());
      case "stop":
        return patched({ status: "exited", pid: 0 });
      case "remove":
        return others;
      default:
        return containers;
    }
  };

  const execute = async (target: DeckyTarget, plan: Plan, options: ApplyOptions): Promise<StepFailure | undefined> => {
    for (const step of plan.steps) {
      options.signal.throwIfAborted();
      await options.onStep({ kind: "started", step, at: new Date() });
      const refusal = await hooks.beforeStep?.(targetKey(target), step, options.signal);
      options.signal.throwIfAborted();
      if (refusal !== undefined) {
        await options.onStep({ kind: "failed", step, at: new Date(), ...refusal });
        return { step, reason: "APPLY_FAILED", ...refusal };
      }
      put(targetKey(target), act(target, step));
      await options.onStep({ kind: "succeeded", step, at: new Date() });
    }
    return undefined;
  };

  const apply = async (target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome> => {
    counts.applies += 1;
    options.signal.throwIfAborted();
    await hooks.beforeApply?.(targetKey(target), options.signal);
    const before = observe(targetKey(target));
    const plan = planTarget(target, before);
    if (options.expectedDigest !== "" && options.expectedDigest !== plan.digest)
      throw new AppError("PLAN_CHANGED", "the decky changed on its host since the plan was made", {
        metadata: { expected: options.expectedDigest, actual: plan.digest },
      });
    options.onObserved?.(before, plan);
    await options.onPlan(plan);
    const failure = await execute(target, plan, options);
    const after = observe(targetKey(target));
    const judged = target.kind === "absent" ? undefined : judge(target.spec, after, portsOf);
    return { plan, receipt: makeReceipt(plan, before, after), observed: after, judged, failure };
  };

  return {
    counts,
    warnings: [],
    inspectLan: async () => ({ trouble: "", taken: [], mtu: undefined }),
    hostSubnets: async () => [],
    orphans: async () => ({ orphans: [], others: [], unseen: [] }),
    removeOrphans: async () => [],
    alter: (key, change) => put(key, change(observe(key).containers)),
    async plan(target) {
      counts.plans += 1;
      await hooks.beforePlan?.(targetKey(target));
      const observed = observe(targetKey(target));
      return { plan: planTarget(target, observed), observed };
    },
    apply,
    async check(specs) {
      counts.checks += 1;
      const sees = await hooks.beforeCheck?.();
      const keys = new Set<string>();
      const deckies = new Map<string, CheckedDecky>();
      for (const [index, spec] of specs.entries()) {
        if (index % 200 === 0) await setImmediate();
        const key = deckyKey(spec);
        keys.add(key);
        if (sees?.(key) === false) continue;
        const observed = observe(key);
        const before = checked.get(spec);
        const now =
          before?.observed === observed
            ? before
            : {
                observed,
                judged: judge(spec, observed, portsOf),
                plan: planTarget({ kind: "present", spec }, observed),
              };
        checked.set(spec, now);
        deckies.set(key, now);
      }
      return { deckies, strays: [...world.entries()].filter(([key]) => !keys.has(key)).map(([, decky]) => decky) };
    },
    prepareImages: async () => [],
    pruneImages: async () => [],
    logs: () => noLogs(),
    ping: async () => undefined,
  };
}

interface WantedContainer {
  readonly name: string;
  readonly slug: string;
  readonly hash: string;
}

function wantedContainers(spec: DeckySpec): WantedContainer[] {
  const names = deckyNames(spec.scope, spec.name);
  const sorted = (config: Readonly<Record<string, unknown>>) => Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    { name: names.base, slug: "", hash: JSON.stringify([spec.hostname, spec.baseImage, spec.attachments]) },
    ...spec.services.map(({ slug, config }) => ({ name: names.service(slug), slug, hash: JSON.stringify(sorted(config)) })),
  ];
}

function judge(spec: DeckySpec, seen: ObservedDecky, portsOf: (slug: string) => string[]): JudgedDecky {
  const names = deckyNames(spec.scope, spec.name);
  const [wantedBase, ...wanted] = wantedContainers(spec);
  const base = seen.containers.find((container) => container.role === "base");
  const judged = wanted.map(({ slug, hash }): JudgedService => {
    const container = seen.containers.find((candidate) => candidate.service === slug && candidate.role === "service");
    const verdict = verdictOf(container, hash, base?.id);
    return {
      slug,
      ...verdict,
      containerName: names.service(slug),
      containerId: container?.id ?? "",
      startedAt: container?.startedAt ?? "",
      restartCount: container?.restartCount ?? 0,
      listening: container?.status === "running" ? portsOf(slug) : [],
      openSessions: 0,
    };
  });
  const common = { baseId: base?.id ?? "", services: judged };
  if (seen.containers.length === 0) return { state: "pending", message: "no container was seen", ...common };
  if (base === undefined) return { state: "failed", message: "the base container is absent", ...common };
  if (base.status !== "running") return { state: "failed", message: `the base container is ${base.status}`, ...common };
  if (base.hash !== wantedBase?.hash) return { state: "degraded", message: "the base has another identity", ...common };
  const troubles = judged.filter((service) => service.state !== "running");
  const message = troubles.map((service) => `${service.slug}: ${service.message}`).join("; ");
  return { state: troubles.length === 0 ? "running" : "degraded", message, ...common };
}

function verdictOf(
  container: ObservedContainer | undefined,
  hash: string,
  base: string | undefined,
): Pick<JudgedService, "state" | "message"> {
  if (container === undefined) return { state: "missing", message: "there is no container" };
  if (container.status !== "running") return { state: "exited", message: `exited with code ${container.exitCode}` };
  if (container.joined !== base) return { state: "detached", message: "joined a base that is gone" };
  if (container.hash !== hash) return { state: "outdated", message: "runs with other settings" };
  return { state: "running", message: "" };
}

function planTarget(target: DeckyTarget, { name, containers }: ObservedDecky): Plan {
  const wanted = target.kind === "present" ? wantedContainers(target.spec) : [];
  const surplus = containers.filter((container) => !wanted.some((each) => each.name === container.name));
  const cause = target.kind === "present" ? "no longer wanted" : "teardown";
  // A base goes last.
  const removals = [...surplus].reverse().flatMap((container) => removal(container, cause));
  const base = containers.find((container) => container.role === "base");
  const isNewBase = base?.hash !== wanted[0]?.hash;
  const acts = wanted.flatMap((each) => actOn(each, containers, isNewBase));
  const settles = acts
    .filter((act) => act.service !== "")
    .map(
      ({ target: container, service }) =>
        ({ verb: "settle", target: container, service, container, cause: "must listen" }) as const,
    );
  const steps = [...removals, ...acts, ...settles].map((step, index) => ({ ...step, number: index + 1 }) as Step);
  const touched = new Set(steps.map((step) => step.target));
  const risks: Risk[] =
    target.kind === "absent" && steps.length > 0
      ? [{ code: "teardown", count: 1, message: "the decky and its stored identity go away", subjects: [name] }]
      : steps.some((step) => step.verb === "recreate" && step.service === "")
        ? [{ code: "restart-base", count: containers.length, message: "all containers restart", subjects: [name] }]
        : [];
  return {
    steps,
    untouched: containers.map((container) => container.name).filter((each) => !touched.has(each)),
    risks,
    digest: digestOf({
      steps: formatPlan({ steps }),
      observed: containers.map((container) => [container.name, container.id, container.status]),
      wanted: wanted.map((each) => [each.name, each.hash]),
    }),
  };
}

function removal({ name, service, id, status }: ObservedContainer, cause: string): Draft[] {
  const common = { target: name, service, container: name, id, cause };
  const remove: Draft = { verb: "remove", ...common };
  return status === "running" ? [{ verb: "stop", graceSeconds: 2, ...common }, remove] : [remove];
}

function actOn({ name, slug, hash }: WantedContainer, containers: readonly ObservedContainer[], isNewBase: boolean): Draft[] {
  const present = containers.find((container) => container.name === name);
  const common = { target: name, service: slug, container: name };
  if (present === undefined) return [{ verb: "create", ...common, cause: slug === "" ? "base is absent" : "requested" }];
  if (slug === "" && isNewBase) return [{ verb: "recreate", ...common, cause: "identity changed" }];
  if (isNewBase) return [{ verb: "recreate", ...common, cause: "joined a base that is gone" }];
  if (present.hash !== hash) return [{ verb: "recreate", ...common, cause: "settings changed" }];
  if (present.status !== "running")
    return [{ verb: "start", ...common, id: present.id, cause: `exited with code ${present.exitCode}` }];
  return [];
}

async function* noLogs(): AsyncGenerator<never> {
  // There is no container that could say something.
}
