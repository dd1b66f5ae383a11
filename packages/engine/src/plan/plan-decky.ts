import type { DiagnosedDecky, DiagnosedService } from "../diagnose/diagnose.ts";
import { takenSentences } from "../diagnose/port-uses.ts";
import { unseenLan } from "../observe/lan.ts";
import type { ObservedContainer, ObservedDecky, ObservedHost } from "../observe/observed.ts";
import { planAdmissions } from "../policy/admission.ts";
import { blockUncontained, planContainment } from "../policy/plan-containment.ts";
import { blockUnguarded, planGuard } from "../policy/plan-guard.ts";
import { blockPublications, differPublications, planClosing, planOpening } from "../policy/published.ts";
import { otherImage } from "../render/own-images.ts";
import type { RenderedDecky, WantedContainer } from "../render/render-decky.ts";
import { deckyKey, type LanSpec } from "../spec.ts";
import { type Cure, cureOfBase, cureOfService, freedBy, isFreedBy } from "./cures.ts";
import { type Draft, digestOf, formatPlan, type Plan, plannedContainers, type Step } from "./plan.ts";
import { planHostAccess } from "./plan-host-access.ts";
import { nameSteps } from "./plan-names.ts";
import { planReleases, planRemoval, removalSteps } from "./plan-removal.ts";
import { risksOf } from "./risks.ts";

export interface PlanInput {
  readonly observed: ObservedDecky;
  /** Undefined: the decky is to be gone. */
  readonly diagnosed: DiagnosedDecky | undefined;
  /** Digest of the wanted project files. */
  readonly projectDigest: string;
  readonly host: ObservedHost;
  /** Port numbers of each slug in the catalog, to tell whose sessions are open. */
  readonly portsOf: (slug: string) => readonly number[];
}

/** Decides what to do to one decky. Pure: no engine, no clock. An empty plan means that the world is as wanted. */
export function planDecky({ observed, diagnosed, projectDigest, host, portsOf }: PlanInput): Plan {
  const drafts = diagnosed === undefined ? planRemoval(observed, host) : planPresence(diagnosed, host);
  const steps = numbered(drafts);
  const planned = plannedContainers({ steps });
  const risks = risksOf(steps, { observed, isTeardown: diagnosed === undefined, portsOf });
  return {
    steps,
    untouched: observed.containers.map((container) => container.name).filter((name) => !planned.has(name)),
    risks,
    digest: digestOf({
      // Another decky, or a preparation, may get an image first: what happens to this decky is the same.
      steps: formatPlan({ steps: numbered(drafts.filter((draft) => draft.verb !== "prepare-image")) }),
      risks: risks.map((risk) => risk.code),
      wanted: projectDigest,
      observed: observed.containers.map((container) => [container.name, container.id, container.hash, ...lifeOf(container)]),
    }),
    observed: observed.containers.map((container) =>
      [container.name, container.id.slice(0, 12), lifeOf(container).join(" since ")].join(" "),
    ),
  };
}

/** One that keeps being restarted is another from moment to moment: no plan about it would hold until it is applied. */
function lifeOf({ status, startedAt, restartCount }: ObservedContainer): string[] {
  return status === "restarting" || restartCount > 0 ? ["restarts"] : [status, startedAt];
}

function numbered(drafts: readonly Draft[]): Step[] {
  return drafts.map((draft, index) => ({ ...draft, number: index + 1 }) as Step);
}

/** Everything that can fail without disturbing a container comes before the first step that disturbs one. */
function planPresence(diagnosed: DiagnosedDecky, host: ObservedHost): Draft[] {
  const { wanted } = diagnosed;
  const baseCure = cureOfBase(diagnosed.base.diagnosis);
  const base = actOn({ ...wanted.base, service: "", stopGraceSeconds: 1 }, diagnosed.base.seen, baseCure, wanted.project);
  const ended = endedBy(diagnosed, baseCure);
  const services = diagnosed.services.map((service) => planService(service, baseCure, ended, diagnosed));
  const joining = services.flatMap((service) => service.acts);
  const acts = [...base, ...joining];
  const names = nameSteps(diagnosed, host);
  const publications = differPublications(wanted.publications, deckyKey(wanted.spec), host.published);
  return [
    ...blockedNames([...names, ...acts], host),
    ...lanSteps(wanted, base, host),
    ...wanted.spec.attachments.flatMap(({ lan }) => blockUncontained(lan, host.containments.get(lan.name), base.length > 0)),
    ...blockUnguarded(wanted.base.name, host.guard, base.length > 0),
    ...blockPublications(publications, host.published),
    ...services.flatMap((service) => service.blocked),
    ...imageSteps(wanted, acts, host),
    ...networkSteps(wanted, base, host),
    ...planHostAccess(wanted.spec.attachments[0].lan, wanted.spec.attachments[0].ip, host.access),
    ...wanted.spec.attachments.flatMap(({ lan }) => planContainment(lan, host.containments.get(lan.name))),
    ...planAdmissions(host.admissions),
    ...planClosing(publications, "no longer wanted"),
    ...projectSteps(wanted, host),
    ...diagnosed.surplus.flatMap((container) => removalSteps(container, surplusCause(container, wanted))),
    ...names,
    ...(isMade(base) ? [] : leaveSteps(diagnosed.base)),
    ...base,
    ...planGuard(wanted.base.name, host.guard, base.length > 0),
    ...joining,
    ...services.flatMap((service) => service.settle),
    ...planOpening(publications),
    ...planReleases(host.leaves, isMade(base)),
  ];
}

function surplusCause({ role, service }: ObservedContainer, { services }: RenderedDecky): string {
  return role === "base" || services.some((wanted) => wanted.service === service) ? "one too many" : "no longer wanted";
}

/** Networks that the base is on besides its LAN; a new base is on none of them. */
function leaveSteps({ seen, diagnosis }: DiagnosedDecky["base"]): Draft[] {
  if (seen === undefined) return [];
  return diagnosis.mends.flatMap((mend): Draft[] =>
    mend.kind === "leave_network"
      ? [{ verb: "leave-network", target: mend.network, service: "", id: seen.id, cause: "the decky is on no other LAN" }]
      : [],
  );
}

/** Ids of the containers whose processes do not outlive the plan. */
function endedBy({ base, services, surplus, observed }: DiagnosedDecky, baseCure: Cure): Set<string> {
  if (base.seen === undefined || (baseCure.act !== "nothing" && baseCure.act !== "wait"))
    return new Set(observed.containers.map(({ id }) => id));
  const disturbed = services.filter(({ diagnosis }) => /^(recreate|restart)$/.test(cureOfService(diagnosis, baseCure).act));
  return new Set([...surplus.map(({ id }) => id), ...disturbed.flatMap(({ seen }) => (seen === undefined ? [] : [seen.id]))]);
}

interface PlannedService {
  readonly blocked: Draft[];
  readonly acts: Draft[];
  readonly settle: Draft[];
}

function planService(
  service: DiagnosedService,
  baseCure: Cure,
  ended: ReadonlySet<string>,
  { wanted: { project }, observed: { containers } }: DiagnosedDecky,
): PlannedService {
  const { wanted, seen, diagnosis } = service;
  const cure = freedBy(ended, diagnosis, cureOfService(diagnosis, baseCure));
  const common = { target: wanted.name, service: wanted.service, container: wanted.name };
  const settle: Draft = { verb: "settle", ...common, cause: settleCause(wanted) };
  const acts = actOn(wanted, seen, cure, project);
  // A server that is started while somebody else has its port ends at once, again and again.
  const isBlocked =
    acts.length > 0 && (baseCure.act === "nothing" || baseCure.act === "wait") && !isFreedBy(ended, diagnosis.taken);
  const cause = takenSentences(diagnosis.taken, containers).join("; ");
  return {
    blocked: isBlocked ? [{ verb: "blocked", target: wanted.name, service: wanted.service, cause }] : [],
    acts,
    settle: cure.act === "nothing" || cure.act === "stop" ? [] : [settle],
  };
}

function actOn(
  wanted: Pick<WantedContainer, "name" | "service" | "stopGraceSeconds">,
  seen: ObservedContainer | undefined,
  cure: Cure,
  project: string,
): Draft[] {
  const common = { target: wanted.name, service: wanted.service, container: wanted.name };
  const id = seen?.id ?? "";
  switch (cure.act) {
    case "nothing":
    case "wait":
      return [];
    case "create":
      return [{ verb: "create", ...common, cause: cure.cause }];
    case "recreate":
      // Compose replaces what it knows as its own, and nothing else.
      if (seen === undefined || seen.composedAs === `${project}/${wanted.name}`)
        return [{ verb: "recreate", ...common, cause: cure.cause }];
      return [
        { verb: "remove", ...common, id, cause: cure.cause },
        { verb: "create", ...common, cause: cure.cause },
      ];
    case "start":
      return [{ verb: "start", ...common, id, cause: cure.cause }];
    case "restart":
      return [{ verb: "restart", ...common, id, graceSeconds: wanted.stopGraceSeconds, cause: cure.cause }];
    case "stop":
      return [{ verb: "stop", ...common, id, graceSeconds: wanted.stopGraceSeconds, cause: cure.cause }];
    default:
      return cure satisfies never;
  }
}

function settleCause(service: WantedContainer): string {
  if (service.ports.length === 0) return "must stay up";
  const ports = service.ports.map((port) => `${port.number}/${port.protocol}`).join(", ");
  return `${ports} must listen within ${service.settleMs / 1000} s`;
}

function isMaking(draft: Draft): boolean {
  return draft.verb === "create" || draft.verb === "recreate";
}

function isMade(acts: readonly Draft[]): boolean {
  return acts.some(isMaking);
}

/** A container cannot have a name that is taken: the plan says so, and stops there before it disturbs anything. */
function blockedNames(acts: readonly Draft[], host: ObservedHost): Draft[] {
  const needed = new Map(acts.filter((act) => isMaking(act) || act.verb === "rename").map((act) => [act.target, act.service]));
  return [...needed]
    .filter(([name]) => host.nameHolders.get(name)?.isOurs === false)
    .map(([target, service]) => {
      const cause = `the container name ${target} is taken by a container that is not ours; remove or rename it`;
      return { verb: "blocked", target, service, cause };
    });
}

/** A LAN that this host cannot have, and an address that somebody else has there, keep the base from being started. */
function lanSteps({ spec: { attachments } }: RenderedDecky, base: readonly Draft[], { lans }: ObservedHost): Draft[] {
  if (base.length === 0) return [];
  return attachments.flatMap(({ lan, ip }): Draft[] => {
    const { trouble, taken } = lans.get(lan.name) ?? unseenLan;
    if (trouble !== "") return [{ verb: "blocked", target: lan.name, service: "", cause: trouble }];
    const holder = taken.find(({ address, isUp }) => isUp && address === ip)?.holder;
    return holder === undefined ? [] : [{ verb: "blocked", target: ip, service: "", cause: `${ip} is taken by ${holder}` }];
  });
}

function imageSteps({ base, services }: RenderedDecky, acts: readonly Draft[], host: ObservedHost): Draft[] {
  const making = new Set(acts.filter(isMaking).map((act) => act.service));
  const cause = "image is absent";
  const drafts: Draft[] = [
    ...(making.has("") ? [{ verb: "prepare-image" as const, target: base.image, service: "", cause, image: base.image }] : []),
    ...services
      .filter(({ service }) => making.has(service))
      .map(({ service, image }) => ({ verb: "prepare-image" as const, target: image.tag, service, cause, image })),
  ];
  const absent = drafts
    .filter((draft) => !host.images.has(draft.target))
    .map((draft) =>
      host.foreignImages?.has(draft.target) === true ? { ...draft, cause: `the image of that name ${otherImage}` } : draft,
    );
  return [...new Map(absent.map((draft) => [draft.target, draft])).values()];
}

function networkSteps({ spec: { attachments } }: RenderedDecky, base: readonly Draft[], host: ObservedHost): Draft[] {
  return base.length === 0 ? [] : attachments.flatMap(({ lan }) => networkStep(lan, host));
}

function networkStep(lan: LanSpec, host: ObservedHost): Draft[] {
  if (host.networks === undefined || host.networks.has(lan.name)) return [];
  const { mtu } = host.lans.get(lan.name) ?? unseenLan;
  // The usual one goes without saying.
  const isUsual = mtu === undefined || (lan.mtu === undefined && mtu.value === 1_500);
  const cause = isUsual ? "network is absent" : `network is absent; MTU ${mtu.value}, ${mtu.cause}`;
  return [{ verb: "create-network", target: lan.name, service: "", cause, lan: { ...lan, mtu: mtu?.value } }];
}

function projectSteps({ project, spec }: RenderedDecky, host: ObservedHost): Draft[] {
  if (host.project.isThere && host.project.differing.length === 0) return [];
  const cause = host.project.isThere ? `files differ from revision ${spec.revision}` : `revision ${spec.revision}`;
  return [{ verb: "write-project", target: project, service: "", cause }];
}
