import { type JudgedDecky, judgeDecky } from "../diagnose/judge.ts";
import type { ObservedLinks } from "../observe/host-access.ts";
import { isNotObserved } from "../observe/not-observed.ts";
import { observeContainments } from "../observe/observe-containment.ts";
import { observeDeckies } from "../observe/observe-decky.ts";
import { leavingsOf, presumedHost } from "../observe/observe-host.ts";
import { baseOf, noLeavings, type ObservedDecky } from "../observe/observed.ts";
import type { Plan } from "../plan/plan.ts";
import { planDecky } from "../plan/plan-decky.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { type DeckySpec, deckyKey } from "../spec.ts";
import { diagnoseFor } from "./diagnose-for.ts";
import { type HostLook, lookAtHost } from "./host-look.ts";
import type { HostParts } from "./host-parts.ts";
import { guardFor } from "./prepare-plan.ts";
import { troublesOf, withDenied } from "./troubles.ts";

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
export async function checkDeckies(parts: HostParts, specs: readonly DeckySpec[]): Promise<CheckedHost> {
  const wanted = new Map(specs.map((spec) => [deckyKey(spec), spec]));
  const contents = await parts.bases.remember(specs.map((spec) => spec.buildBase));
  const links = specs.some(needsLinks) ? await linksOrProblem(parts) : undefined;
  const look: CheckLook = { ...lookAtHost(parts), seenLinks: links instanceof Error ? undefined : links };
  const deckies = new Map<string, CheckedDecky>();
  const strays: ObservedDecky[] = [];
  const pids = new Set<number>();
  for await (const [key, observed] of observeDeckies(parts, [...wanted.keys()])) {
    const spec = wanted.get(key);
    if (!(observed instanceof Error)) pids.add(baseOf(observed)?.pid ?? 0);
    if (spec === undefined) {
      if (!(observed instanceof Error)) strays.push(observed);
    } else if (observed instanceof Error) deckies.set(key, unknownDecky(observed));
    else if (links instanceof Error && needsLinks(spec)) deckies.set(key, unknownDecky(links));
    else deckies.set(key, await compareOrSay(parts, observed, parts.renderer.render(spec, contents), look));
  }
  parts.guards.retain(pids);
  return { deckies, strays };
}

/** What a drift check sees of the host once for all deckies. */
interface CheckLook extends HostLook {
  readonly seenLinks: ObservedLinks | undefined;
}

async function compareOrSay(
  parts: HostParts,
  observed: ObservedDecky,
  rendered: RenderedDecky,
  look: CheckLook,
): Promise<CheckedDecky> {
  try {
    return await compare(parts, observed, rendered, look);
  } catch (error) {
    if (isNotObserved(error)) return unknownDecky(error);
    throw error;
  }
}

/** Throws NOT_OBSERVED. */
async function compare(
  parts: HostParts,
  observed: ObservedDecky,
  rendered: RenderedDecky,
  { seenLinks: links, networks, containment, admissions: routed, publications }: CheckLook,
): Promise<CheckedDecky> {
  const { instance, portsOf, projects, folderOf } = parts;
  // A network that a running base is on is there.
  const known = baseOf(observed)?.status === "running" ? undefined : await networks();
  const project = await projects.observe(folderOf(rendered.spec), rendered.files);
  const diagnosed = await diagnoseFor(parts, rendered, observed, known);
  const containments = await observeContainments(containment, rendered.spec, { networks: known, observed, links });
  const published = await publications.of(rendered.spec, rendered.publications);
  const admissions = await routed.of(rendered.spec);
  const noted = parts.left.of(rendered.spec);
  const leaves =
    noted.length === 0
      ? noLeavings
      : leavingsOf(rendered.spec, observed, { noted, networks: await networks(), rights: parts.rights });
  const judge = async (inDoubt: boolean): Promise<CheckedDecky> => {
    const guard = await guardFor(parts, rendered, observed, inDoubt);
    const around = { project, containments, published, guard, admissions, leaves };
    const host = presumedHost(rendered, instance, { networks: known, ...around, links });
    const plan = planDecky({ observed, diagnosed, projectDigest: "", host, portsOf });
    return { observed, judged: withDenied(judgeDecky(diagnosed, troublesOf(rendered, around)), guard), plan };
  };
  const checked = await judge(false);
  return checked.plan.steps.length === 0 ? checked : judge(true);
}

/** Nothing is planned on an observation that failed. */
function unknownDecky({ message }: Error): CheckedDecky {
  const plan: Plan = { steps: [], untouched: [], risks: [], digest: "" };
  return { observed: undefined, judged: { state: "unknown", message, baseId: "", services: [] }, plan };
}

function needsLinks({ attachments }: DeckySpec): boolean {
  return attachments.some(({ lan }) => lan.driver !== "bridge");
}

/** A host whose interfaces cannot be read may still tell everything about the deckies that need none. */
async function linksOrProblem({ observeLinks }: HostParts): Promise<ObservedLinks | Error> {
  try {
    return await observeLinks();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
