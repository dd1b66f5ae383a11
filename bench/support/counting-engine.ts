import { setImmediate } from "node:timers/promises";
import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { JudgedDecky, JudgedService } from "@decnet/engine/diagnose/judge";
import type { ApplyOptions, ApplyOutcome, CheckedDecky, Engine } from "@decnet/engine/engine";
import { makeReceipt } from "@decnet/engine/execute/receipt";
import type { ObservedContainer, ObservedDecky } from "@decnet/engine/observe/observed";
import { digestOf, formatPlan, type Plan, type Step } from "@decnet/engine/plan/plan";
import { deckyNames } from "@decnet/engine/render/names";
import { type DeckySpec, type DeckyTarget, deckyKey, targetKey } from "@decnet/engine/spec";

export interface CountingEngine extends Engine {
  readonly counts: { plans: number; applies: number; checks: number };
}

/**
 * An engine that makes no container: it notes what it was asked for in memory, answers as if that were done at once, and counts. Only for measuring
 * what is around an engine; everything else is measured and tested on a real one.
 */
export function createCountingEngine({ services }: Pick<Catalogue, "services">): CountingEngine {
  const counts = { plans: 0, applies: 0, checks: 0 };
  const world = new Map<string, ObservedDecky>();
  /** A spec that was checked before, and a decky that is the same as then, need no second look. */
  const checked = new WeakMap<DeckySpec, CheckedDecky>();
  let made = 0;
  const portsOf = (slug: string) => services.get(slug)?.ports.map((port) => `${port.number}/${port.protocol}`) ?? [];
  const observe = (target: DeckyTarget): ObservedDecky => {
    const { scope, name } = target.kind === "present" ? target.spec : target;
    return world.get(targetKey(target)) ?? { scope, name, containers: [], sockets: { listening: new Set(), sessions: [] } };
  };

  /** The world as wanted: containers that are as wanted stay, all others are new. */
  const realize = (spec: DeckySpec, before: ObservedDecky): ObservedDecky => {
    const containers = wantedContainers(spec).map(({ name, slug, hash }): ObservedContainer => {
      const present = before.containers.find((container) => container.name === name && container.hash === hash);
      if (present !== undefined) return present;
      made += 1;
      return {
        id: made.toString(16).padStart(64, "0"),
        name,
        role: slug === "" ? "base" : "service",
        slug,
        hash,
        catalogue: "",
        status: "running",
        exitCode: 0,
        startedAt: new Date().toISOString(),
        restartCount: 0,
        pid: made,
        netns: spec.name,
        joined: slug === "" ? undefined : deckyNames(spec.scope, spec.name).base,
      };
    });
    const listening = new Set(spec.services.flatMap((service) => portsOf(service.slug)));
    return { scope: spec.scope, name: spec.name, containers, sockets: { listening, sessions: [] } };
  };

  const judge = (spec: DeckySpec, seen: ObservedDecky): JudgedDecky => {
    const judged = spec.services.map(({ slug }): JudgedService => {
      const container = seen.containers.find((candidate) => candidate.slug === slug);
      return {
        slug,
        state: container === undefined ? "missing" : "running",
        message: container === undefined ? "there is no container" : "",
        containerName: deckyNames(spec.scope, spec.name).service(slug),
        containerId: container?.id ?? "",
        startedAt: container?.startedAt ?? "",
        restartCount: 0,
        listening: container === undefined ? [] : portsOf(slug),
        openSessions: 0,
      };
    });
    const missing = judged.filter((service) => service.state === "missing").map((service) => service.slug);
    const base = seen.containers.find((container) => container.role === "base");
    return {
      state: base === undefined ? "pending" : missing.length === 0 ? "running" : "degraded",
      message: base === undefined ? "no container was seen" : missing.map((slug) => `${slug}: there is no container`).join("; "),
      baseId: base?.id ?? "",
      services: judged,
    };
  };

  const apply = async (target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome> => {
    counts.applies += 1;
    options.signal.throwIfAborted();
    const before = observe(target);
    const plan = planTarget(target, before);
    await options.onPlan(plan);
    for (const step of plan.steps) {
      await options.onStep({ kind: "started", step, at: new Date() });
      await options.onStep({ kind: "succeeded", step, at: new Date() });
    }
    if (target.kind === "absent") world.delete(targetKey(target));
    else world.set(targetKey(target), realize(target.spec, before));
    const after = observe(target);
    const judged = target.kind === "absent" ? undefined : judge(target.spec, after);
    return { plan, receipt: makeReceipt(plan, before, after), observed: after, judged, failure: undefined };
  };

  return {
    counts,
    warnings: [],
    async plan(target) {
      counts.plans += 1;
      const observed = observe(target);
      return { plan: planTarget(target, observed), observed };
    },
    apply,
    async check(specs) {
      counts.checks += 1;
      const deckies = new Map<string, CheckedDecky>();
      for (const [index, spec] of specs.entries()) {
        if (index % 200 === 0) await setImmediate();
        const observed = observe({ kind: "present", spec });
        const before = checked.get(spec);
        const now =
          before?.observed === observed
            ? before
            : { observed, judged: judge(spec, observed), plan: planTarget({ kind: "present", spec }, observed) };
        checked.set(spec, now);
        deckies.set(deckyKey(spec), now);
      }
      return { deckies, strays: [...world.entries()].filter(([key]) => !deckies.has(key)).map(([, decky]) => decky) };
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
  return [
    { name: names.base, slug: "", hash: JSON.stringify([spec.hostname, spec.baseImage, spec.ip, spec.mac]) },
    ...spec.services.map(({ slug, config }) => ({ name: names.service(slug), slug, hash: JSON.stringify(config) })),
  ];
}

function planTarget(target: DeckyTarget, { containers }: ObservedDecky): Plan {
  const wanted = target.kind === "present" ? wantedContainers(target.spec) : [];
  const surplus = containers.filter((container) => !wanted.some((each) => each.name === container.name));
  const removals = surplus.flatMap(({ name, slug, id }) => {
    const common = { target: name, slug, container: name, id, cause: "no longer wanted" };
    return [
      { kind: "stop" as const, graceSeconds: 2, ...common },
      { kind: "remove" as const, ...common },
    ];
  });
  const acts = wanted.flatMap(({ name, slug, hash }) => {
    const present = containers.find((container) => container.name === name);
    if (present?.hash === hash) return [];
    const kind = present === undefined ? ("create" as const) : ("recreate" as const);
    return [{ kind, target: name, slug, container: name, cause: present === undefined ? "requested" : "config changed" }];
  });
  const settles = acts
    .filter((act) => act.slug !== "")
    .map(({ target: name, slug }) => ({ kind: "settle" as const, target: name, slug, container: name, cause: "must listen" }));
  const steps = [...removals, ...acts, ...settles].map((step, index): Step => ({ ...step, number: index + 1 }));
  const touched = new Set(steps.map((step) => step.target));
  return {
    steps,
    untouched: containers.map((container) => container.name).filter((name) => !touched.has(name)),
    risks: [],
    digest: digestOf({ steps: formatPlan({ steps }), observed: containers.map((container) => [container.name, container.id]) }),
  };
}

async function* noLogs(): AsyncGenerator<never> {
  // There is no container that could say something.
}
