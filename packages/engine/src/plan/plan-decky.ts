import type { ObservedContainer, ObservedDecky, ObservedHost, Session } from "../observe/observed.ts";
import { baseOf, isDetached, isForeignMade, type MadeFrom } from "../observe/observed.ts";
import type { RenderedDecky, WantedContainer } from "../render/render-decky.ts";
import { type Draft, digestOf, formatPlan, type Plan, plannedContainers, type Risk, type Step, type StepKind } from "./plan.ts";
import { planHostAccess } from "./plan-host-access.ts";

export interface PlanInput {
  /** Undefined: the decky is to be gone. */
  readonly wanted: RenderedDecky | undefined;
  /** Digest of the wanted project files. */
  readonly projectDigest: string;
  readonly observed: ObservedDecky;
  readonly host: ObservedHost;
  /** Undefined: not known, and whatever is there counts as ours. */
  readonly made?: MadeFrom | undefined;
  /** TCP port numbers of each slug in the catalogue, to tell whose sessions are open. */
  readonly portsOf: (slug: string) => readonly number[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Decides what to do to one decky. Pure: no engine, no clock. An empty plan means that the world is as wanted. */
export function planDecky(input: PlanInput): Plan {
  const drafts = input.wanted === undefined ? planRemoval(input) : planPresence(input.wanted, input);
  const steps = drafts.map((draft, index) => ({ ...draft, number: index + 1 }) as Step);
  const planned = plannedContainers({ steps });
  const risks = risksOf(steps, input);
  return {
    steps,
    untouched: input.observed.containers.map((container) => container.name).filter((name) => !planned.has(name)),
    risks,
    digest: digestOf({
      steps: formatPlan({ steps }),
      risks: risks.map((risk) => risk.code),
      wanted: input.projectDigest,
      observed: input.observed.containers.map((c) => [c.name, c.id, c.hash, c.status, c.startedAt]),
    }),
  };
}

function planPresence(wanted: RenderedDecky, input: PlanInput): Draft[] {
  const { observed, host } = input;
  const base = baseOf(observed);
  const basePlan = planBase(wanted, base, input.made);
  const services = wanted.services.map((service) => planService(service, input, base, basePlan));
  const orphans = observed.containers.filter(
    (c) => c.role === "service" && !wanted.services.some((service) => service.slug === c.slug),
  );
  const acts = services.flatMap((service) => service.acts);
  const images = [
    ...(basePlan.some((step) => step.kind === "create" || step.kind === "recreate") ? [baseImage(wanted)] : []),
    ...wanted.services
      .filter((service) => acts.some((act) => act.slug === service.slug && needsImage(act)))
      .map(serviceImageStep),
  ].filter((step) => !host.images.has(step.target));
  const lan = wanted.spec.lan;
  const network: Draft[] =
    host.networks.has(lan.name) || basePlan.length === 0
      ? []
      : [{ kind: "create-network", target: lan.name, slug: "", cause: "network is absent", lan }];
  const write: Draft[] =
    host.projectDigest === input.projectDigest
      ? []
      : [
          {
            kind: "write-project",
            target: wanted.project,
            slug: "",
            cause: writeCause(wanted, host),
            digest: input.projectDigest,
          },
        ];
  return [
    ...uniqueByTarget(images),
    ...network,
    ...planHostAccess(lan, wanted.spec.ip, host.access),
    ...write,
    ...orphans.flatMap((orphan) => removal(orphan, "no longer wanted")),
    ...basePlan,
    ...acts,
    ...services.flatMap((service) => service.settle),
  ];
}

function writeCause(wanted: RenderedDecky, host: ObservedHost): string {
  return host.projectDigest === "" ? `revision ${wanted.spec.revision}` : `files differ from revision ${wanted.spec.revision}`;
}

function baseImage(wanted: RenderedDecky): Draft {
  return { kind: "prepare-image", target: wanted.base.image, slug: "", cause: "image is absent", image: wanted.base.image };
}

function serviceImageStep(service: WantedContainer): Draft {
  return { kind: "prepare-image", target: service.image.tag, slug: service.slug, cause: "image is absent", image: service.image };
}

function needsImage(draft: Draft): boolean {
  return draft.kind === "create" || draft.kind === "recreate";
}

function uniqueByTarget(drafts: readonly Draft[]): Draft[] {
  return [...new Map(drafts.map((draft) => [draft.target, draft])).values()];
}

function planBase(wanted: RenderedDecky, base: ObservedContainer | undefined, made: MadeFrom | undefined): Draft[] {
  const common = { target: wanted.base.name, slug: "", container: wanted.base.name };
  if (base === undefined) return [{ kind: "create", ...common, cause: "base is absent" }];
  if (base.hash !== wanted.base.hash) return [{ kind: "recreate", ...common, cause: "identity changed" }];
  if (isForeignMade(base, made)) return [{ kind: "recreate", ...common, cause: "made by somebody else from other settings" }];
  if (base.status === "running") return [];
  if (base.status === "paused" || base.status === "restarting")
    return [{ kind: "restart", ...common, id: base.id, graceSeconds: 1, cause: `base is ${base.status}` }];
  if (base.status === "exited" || base.status === "created")
    return [{ kind: "start", ...common, id: base.id, cause: `base is ${base.status}` }];
  return [{ kind: "recreate", ...common, cause: `base is ${base.status}` }];
}

interface ServicePlan {
  readonly acts: readonly Draft[];
  readonly settle: readonly Draft[];
}

function planService(
  service: WantedContainer,
  input: PlanInput,
  base: ObservedContainer | undefined,
  basePlan: readonly Draft[],
): ServicePlan {
  const seen = input.observed.containers.find((container) => container.slug === service.slug && container.role === "service");
  const act = actOn(service, seen, input, base, basePlan);
  const settle: Draft = {
    kind: "settle",
    target: service.name,
    slug: service.slug,
    container: service.name,
    cause: settleCause(service),
  };
  if (act !== undefined) return { acts: [act], settle: [settle] };
  const silent = service.ports.some((port) => !input.observed.sockets.listening.has(`${port.number}/${port.protocol}`));
  return { acts: [], settle: silent ? [settle] : [] };
}

function settleCause(service: WantedContainer): string {
  if (service.ports.length === 0) return "must stay up";
  const ports = service.ports.map((port) => `${port.number}/${port.protocol}`).join(", ");
  return `${ports} must listen within ${service.settleMs / 1000} s`;
}

function actOn(
  service: WantedContainer,
  seen: ObservedContainer | undefined,
  input: PlanInput,
  base: ObservedContainer | undefined,
  basePlan: readonly Draft[],
): Draft | undefined {
  const common = { target: service.name, slug: service.slug, container: service.name };
  if (seen === undefined) return { kind: "create", ...common, cause: "requested" };
  if (seen.hash !== service.hash) return { kind: "recreate", ...common, cause: "config changed" };
  if (isForeignMade(seen, input.made)) return { kind: "recreate", ...common, cause: "made by somebody else from other settings" };
  if (base === undefined || seen.joined !== base.id || basePlan.some((step) => step.kind === "recreate"))
    return { kind: "recreate", ...common, cause: "joined a base that is gone" };
  const restart = (cause: string): Draft => ({
    kind: "restart",
    ...common,
    id: seen.id,
    graceSeconds: service.stopGraceSeconds,
    cause,
  });
  switch (seen.status) {
    case "running":
      if (basePlan.length > 0 || isDetached(seen, base)) return restart("detached from the base");
      return isOverdue(service, seen, input) ? restart(`does not listen on ${silentPorts(service, input)}`) : undefined;
    case "exited":
    case "created":
      return {
        kind: "start",
        ...common,
        id: seen.id,
        cause: seen.status === "exited" ? `exited with code ${seen.exitCode}` : "never started",
      };
    case "paused":
      return restart("is paused");
    case "restarting":
      return { kind: "recreate", ...common, cause: "restarts again and again" };
    case "removing":
    case "dead":
      return { kind: "recreate", ...common, cause: `is ${seen.status}` };
    default:
      return seen.status satisfies never;
  }
}

function silentPorts(service: WantedContainer, input: PlanInput): string {
  return service.ports
    .map((port) => `${port.number}/${port.protocol}`)
    .filter((port) => !input.observed.sockets.listening.has(port))
    .join(", ");
}

/** Running for longer than its deadline without listening on every port. */
function isOverdue(service: WantedContainer, seen: ObservedContainer, input: PlanInput): boolean {
  return silentPorts(service, input) !== "" && input.now - Date.parse(seen.startedAt) > service.settleMs;
}

function removal(container: ObservedContainer, cause: string): Draft[] {
  const common = { target: container.name, slug: container.slug, container: container.name, id: container.id };
  const stop: Draft = { kind: "stop", ...common, graceSeconds: 2, cause };
  const remove: Draft = { kind: "remove", ...common, cause };
  return container.status === "running" || container.status === "restarting" || container.status === "paused"
    ? [stop, remove]
    : [remove];
}

function planRemoval(input: PlanInput): Draft[] {
  const joiners = input.observed.containers.filter((container) => container.role === "service");
  const bases = input.observed.containers.filter((container) => container.role === "base");
  const name = input.observed.name;
  const { routes, networks } = input.host.leaves;
  return [
    ...[...joiners, ...bases].flatMap((container) => removal(container, "teardown")),
    ...routes.map(({ to, helper }): Draft => ({ kind: "remove-route", target: to, slug: "", cause: "teardown", helper })),
    ...networks.map(
      ({ network, owner }): Draft => ({
        kind: "release-network",
        target: network,
        slug: "",
        cause: "goes with the last decky on it",
        owner,
      }),
    ),
    ...(input.observed.containers.length === 0 && input.host.projectDigest === ""
      ? []
      : [{ kind: "remove-project" as const, target: name, slug: "", cause: "teardown" }]),
  ];
}

function risksOf(steps: readonly Step[], input: PlanInput): Risk[] {
  const cut = cutSessions(steps, input);
  const base = steps.find((step) => step.slug === "" && (step.kind === "recreate" || step.kind === "restart"));
  return [
    ...(cut.length > 0
      ? [
          {
            code: "cut-sessions" as const,
            count: cut.length,
            message: `${cut.length} open session${cut.length === 1 ? "" : "s"} will be cut`,
            subjects: cut.map((session) => `${session.peer} on ${session.port}/${session.protocol}`),
          },
        ]
      : []),
    ...(base !== undefined && input.wanted !== undefined
      ? [
          {
            code: "restart-base" as const,
            count: input.observed.containers.length,
            message: `all ${input.observed.containers.length} containers of the decky restart`,
            subjects: input.observed.containers.map((container) => container.name),
          },
        ]
      : []),
    ...(input.wanted === undefined && steps.length > 0
      ? [
          {
            code: "teardown" as const,
            count: 1,
            message: "the decky and its stored identity go away",
            subjects: [input.observed.name],
          },
        ]
      : []),
  ];
}

const disturbing: ReadonlySet<StepKind> = new Set(["recreate", "restart", "stop", "remove"]);

/** Sessions on ports of services that the plan disturbs. A teardown or a new base cuts all. */
function cutSessions(steps: readonly Step[], input: PlanInput): Session[] {
  const disturbed = steps.filter((step) => disturbing.has(step.kind));
  if (disturbed.some((step) => step.slug === "")) return [...input.observed.sockets.sessions];
  const slugs = new Set(disturbed.map((step) => step.slug));
  const ports = new Set([...slugs].flatMap((slug) => input.portsOf(slug)));
  return input.observed.sockets.sessions.filter((session) => ports.has(session.port));
}
