import { diagnoseDecky } from "../diagnose/diagnose.ts";
import { type JudgedDecky, judgeDecky } from "../diagnose/judge.ts";
import type { ObservedLinks } from "../observe/host-access.ts";
import { observeDeckies } from "../observe/observe-decky.ts";
import { presumedHost } from "../observe/observe-host.ts";
import type { ComposeHashes, ObservedDecky, ObservedHost } from "../observe/observed.ts";
import type { Plan } from "../plan/plan.ts";
import { planDecky } from "../plan/plan-decky.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { type DeckySpec, deckyKey } from "../spec.ts";
import type { HostParts } from "./host-parts.ts";

export interface CheckedDecky {
  /** Undefined when it could not be observed: its state is unknown then, and nothing is planned. */
  readonly observed: ObservedDecky | undefined;
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
  const wanted = new Map(specs.map((spec) => [deckyKey(spec), spec]));
  const contents = await parts.bases.remember(specs.map((spec) => spec.buildBase));
  const links = specs.some(needsLinks) ? await linksOrProblem(parts) : undefined;
  const deckies = new Map<string, CheckedDecky>();
  const strays: ObservedDecky[] = [];
  for await (const [key, observed] of observeDeckies(parts, [...wanted.keys()])) {
    const spec = wanted.get(key);
    if (spec === undefined) {
      if (!(observed instanceof Error)) strays.push(observed);
    } else if (observed instanceof Error) deckies.set(key, unknownDecky(observed));
    else if (links instanceof Error && needsLinks(spec)) deckies.set(key, unknownDecky(links));
    else {
      const rendered = parts.renderer.render(spec, contents);
      const host = presumedHost(rendered, parts.instance, links instanceof Error ? undefined : links);
      deckies.set(key, compare(parts, observed, rendered, host, composeHashesOf(spec)));
    }
  }
  return { deckies, strays };
}

function compare(
  { patience, portsOf }: HostParts,
  observed: ObservedDecky,
  rendered: RenderedDecky,
  host: ObservedHost,
  composeHashes: ComposeHashes | undefined,
): CheckedDecky {
  const diagnosed = diagnoseDecky(rendered, observed, { ...patience, composeHashes, now: Date.now() });
  const plan = planDecky({ observed, diagnosed, projectDigest: host.projectDigest, host, portsOf });
  return { observed, judged: judgeDecky(diagnosed), plan };
}

/** Nothing is planned on an observation that failed. */
function unknownDecky({ message }: Error): CheckedDecky {
  const plan: Plan = { steps: [], untouched: [], risks: [], digest: "" };
  return { observed: undefined, judged: { state: "unknown", message, baseId: "", services: [] }, plan };
}

function needsLinks({ lan }: DeckySpec): boolean {
  return lan.driver !== "bridge";
}

/** A host whose interfaces cannot be read may still tell everything about the deckies that need none. */
async function linksOrProblem({ observeLinks }: HostParts): Promise<ObservedLinks | Error> {
  try {
    return await observeLinks();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
