import type { DiagnosedDecky } from "../diagnose/diagnose.ts";
import { projectDigest } from "../execute/project-files.ts";
import { observeDecky } from "../observe/observe-decky.ts";
import { type HostSources, observeHostAfter, observeHostFor, type PublicationsObserver } from "../observe/observe-host.ts";
import { baseOf, type ObservedDecky } from "../observe/observed.ts";
import type { Plan } from "../plan/plan.ts";
import { planDecky } from "../plan/plan-decky.ts";
import type { ObservedGuard } from "../policy/guard.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import type { DeckyTarget } from "../spec.ts";
import { diagnoseFor } from "./diagnose-for.ts";
import type { HostParts } from "./host-parts.ts";

export interface Prepared {
  readonly plan: Plan;
  readonly observed: ObservedDecky;
  /** Both undefined for a decky that is to be gone. */
  readonly rendered: RenderedDecky | undefined;
  readonly diagnosed: DiagnosedDecky | undefined;
  readonly folder: string;
}

/** Observes one decky and its host, and plans. Changes nothing. */
export async function preparePlan(parts: HostParts, target: DeckyTarget): Promise<Prepared> {
  const decky = target.kind === "present" ? target.spec : target;
  const folder = parts.folderOf(decky);
  const [observed, { rendered, host: around }, admissions] = await Promise.all([
    observeDecky(parts, decky),
    observeHost(parts, target, folder),
    target.kind === "absent" ? undefined : parts.admissions.look().of(target.spec),
  ]);
  const [guard, diagnosed] =
    rendered === undefined
      ? []
      : await Promise.all([guardFor(parts, rendered, observed), diagnoseFor(parts, rendered, observed, around.networks)]);
  const host = { ...around, guard, admissions };
  const digest = rendered === undefined ? "" : projectDigest(rendered.files);
  const plan = planDecky({ observed, diagnosed, projectDigest: digest, host, portsOf: parts.portsOf });
  return { plan, observed, rendered, diagnosed, folder };
}

/** How a decky is kept to itself. `inDoubt`: something else is wrong with it. Throws NOT_OBSERVED. */
export function guardFor(
  { guards }: HostParts,
  { spec }: RenderedDecky,
  observed: ObservedDecky,
  inDoubt = false,
): Promise<ObservedGuard | undefined> {
  return guards.observe(spec, baseOf(observed)?.pid ?? 0, inDoubt);
}

/** What is published on this host, for a decky that may have to do with it. */
export function publicationsObserver({ publisher, observeLinks }: HostParts): PublicationsObserver {
  return async ({ scope }, wanted) => {
    if (scope === "fleet") return undefined;
    return publisher.observe(await observeLinks(), new Set(wanted.map(({ port, protocol }) => `${port}/${protocol}`)));
  };
}

async function observeHost(parts: HostParts, target: DeckyTarget, folder: string) {
  const { api, rights, built, containment, observeLinks } = parts;
  const sources: HostSources = {
    ...{ api, rights, builtAs: built.of, containment, observeLinks },
    observePublications: publicationsObserver(parts),
    observeProject: (files) => parts.projects.observe(folder, files),
  };
  if (target.kind === "absent") return { rendered: undefined, host: await observeHostAfter(target, sources) };
  const { spec } = target;
  const rendered = parts.renderer.render(spec, await parts.bases.observe([spec.buildBase]));
  return { rendered, host: await observeHostFor(rendered, sources) };
}
