import { diagnoseDecky } from "../diagnose/diagnose.ts";
import { type JudgedDecky, judgeDecky } from "../diagnose/judge.ts";
import { observeDeckies } from "../observe/observe-decky.ts";
import { presumedHost } from "../observe/observe-host.ts";
import type { ComposeHashes, ObservedDecky } from "../observe/observed.ts";
import type { Plan } from "../plan/plan.ts";
import { planDecky } from "../plan/plan-decky.ts";
import { type DeckySpec, deckyKey } from "../spec.ts";
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
export async function checkDeckies(
  parts: HostParts,
  specs: readonly DeckySpec[],
  composeHashesOf: (spec: DeckySpec) => ComposeHashes | undefined,
): Promise<CheckedHost> {
  const { api, instance, sockets, portsOf } = parts;
  const wanted = new Map(specs.map((spec) => [deckyKey(spec), spec]));
  const contents = await parts.bases.remember(specs.map((spec) => spec.buildBase));
  const links = specs.some((spec) => spec.lan.driver !== "bridge") ? await parts.observeLinks() : undefined;
  const deckies = new Map<string, CheckedDecky>();
  const strays: ObservedDecky[] = [];
  for await (const [key, observed] of observeDeckies(api, sockets, instance, [...wanted.keys()])) {
    const spec = wanted.get(key);
    if (spec === undefined) {
      strays.push(observed);
      continue;
    }
    const rendered = parts.renderer.render(spec, contents);
    const diagnosed = diagnoseDecky(rendered, observed, { composeHashes: composeHashesOf(spec), now: Date.now() });
    const host = presumedHost(rendered, instance, links);
    const plan = planDecky({ observed, diagnosed, projectDigest: host.projectDigest, host, portsOf });
    deckies.set(key, { observed, judged: judgeDecky(diagnosed), plan });
  }
  return { deckies, strays };
}
