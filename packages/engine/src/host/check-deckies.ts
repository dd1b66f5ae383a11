import { type JudgedDecky, judgeDecky } from "../diagnose/judge.ts";
import { observeDeckies } from "../observe/observe-decky.ts";
import { presumedHost } from "../observe/observe-host.ts";
import { baseOf, type ObservedDecky } from "../observe/observed.ts";
import type { Plan } from "../plan/plan.ts";
import { planDecky } from "../plan/plan-decky.ts";
import { type DeckySpec, deckyKey } from "../spec.ts";
import { diagnoseFor } from "./diagnose-for.ts";
import type { HostParts } from "./host-parts.ts";

export interface CheckedDecky {
  readonly observed: ObservedDecky;
  readonly judged: JudgedDecky;
  /** What would bring the decky back to its spec; empty when nothing drifted. */
  readonly plan: Plan;
}

export interface CheckedHost {
  readonly deckies: ReadonlyMap<string, CheckedDecky>;
  /** Deckies that have containers and no spec. */
  readonly strays: readonly ObservedDecky[];
}

/** A drift check: compares every decky with its spec. State and plan come from the same diagnosis. */
export async function checkDeckies(parts: HostParts, specs: readonly DeckySpec[]): Promise<CheckedHost> {
  const { api, instance, sockets, portsOf } = parts;
  const wanted = new Map(specs.map((spec) => [deckyKey(spec), spec]));
  const contents = await parts.bases.remember(specs.map((spec) => spec.buildBase));
  const links = specs.some((spec) => spec.lan.driver !== "bridge") ? await parts.observeLinks() : undefined;
  let networks: ReturnType<typeof api.networks> | undefined;
  const deckies = new Map<string, CheckedDecky>();
  const strays: ObservedDecky[] = [];
  for await (const [key, observed] of observeDeckies(api, sockets, instance, [...wanted.keys()])) {
    const spec = wanted.get(key);
    if (spec === undefined) {
      strays.push(observed);
      continue;
    }
    const rendered = parts.renderer.render(spec, contents);
    // A network that a running base is on is there.
    if (baseOf(observed)?.status !== "running") networks ??= api.networks();
    const known = await networks;
    const project = await parts.projects.observe(parts.folderOf(spec), rendered.files).catch(() => undefined);
    const diagnosed = await diagnoseFor(parts, rendered, observed, known);
    const host = presumedHost(rendered, instance, { networks: known, project, links });
    const plan = planDecky({ observed, diagnosed, projectDigest: "", host, portsOf });
    deckies.set(key, { observed, judged: judgeDecky(diagnosed), plan });
  }
  return { deckies, strays };
}
