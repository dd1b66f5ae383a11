import type { DiagnosedDecky } from "../diagnose/diagnose.ts";
import { projectDigest } from "../execute/project-files.ts";
import { observeDecky } from "../observe/observe-decky.ts";
import { type HostSources, leavingsOf, observeHostAfter, observeHostFor } from "../observe/observe-host.ts";
import { baseOf, type ObservedDecky } from "../observe/observed.ts";
import type { Plan } from "../plan/plan.ts";
import { planDecky } from "../plan/plan-decky.ts";
import type { ObservedGuard } from "../policy/guard.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import type { DeckyTarget } from "../spec.ts";
import { diagnoseFor } from "./diagnose-for.ts";
import { type HostLook, lookAtHost } from "./host-look.ts";
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
  const look = lookAtHost(parts);
  const [observed, { rendered, host: around }, admissions] = await Promise.all([
    observeDecky(parts, decky),
    observeHost(parts, target, folder, look),
    target.kind === "absent" ? undefined : look.admissions.of(target.spec),
  ]);
  const [guard, diagnosed] =
    rendered === undefined
      ? []
      : await Promise.all([guardFor(parts, rendered, observed), diagnoseFor(parts, rendered, observed, around.networks)]);
  const leaves =
    rendered === undefined || around.networks === undefined
      ? around.leaves
      : leavingsOf(rendered.spec, observed, {
          ...{ noted: parts.left.of(rendered.spec), networks: await look.networks(), rights: parts.rights },
        });
  const host = { ...around, guard, admissions, leaves };
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

async function observeHost(parts: HostParts, target: DeckyTarget, folder: string, look: HostLook) {
  const { api, rights, built } = parts;
  const sources: HostSources = {
    ...{ api, rights, builtAs: built.of, look },
    observeProject: (files) => parts.projects.observe(folder, files),
  };
  if (target.kind === "absent") return { rendered: undefined, host: await observeHostAfter(target, sources) };
  const { spec } = target;
  const rendered = parts.renderer.render(spec, await parts.bases.observe([spec.buildBase]));
  return { rendered, host: await observeHostFor(rendered, sources) };
}
