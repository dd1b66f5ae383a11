import type { ObservedDecky, Session } from "../observe/observed.ts";
import type { Risk, Step, StepVerb } from "./plan.ts";

export interface RiskInput {
  readonly observed: ObservedDecky;
  /** The decky is to be gone. */
  readonly isTeardown: boolean;
  /** Port numbers of each slug in the catalog, to tell whose sessions are open. */
  readonly portsOf: (slug: string) => readonly number[];
}

/** What the steps disturb besides the change itself. Pure. */
export function risksOf(steps: readonly Step[], input: RiskInput): Risk[] {
  return [...cutRisk(steps, input), ...baseRisk(steps, input), ...teardownRisk(steps, input)];
}

function cutRisk(steps: readonly Step[], input: RiskInput): Risk[] {
  const cut = cutSessions(steps, input);
  if (cut.length === 0) return [];
  const message = `${cut.length} open session${cut.length === 1 ? "" : "s"} will be cut`;
  const subjects = cut.map((session) => `${session.peer} on ${session.port}/${session.protocol}`);
  return [{ code: "cut-sessions", count: cut.length, message, subjects }];
}

function baseRisk(steps: readonly Step[], { observed, isTeardown }: RiskInput): Risk[] {
  const disturbsBase = steps.some((step) => step.service === "" && (step.verb === "recreate" || step.verb === "restart"));
  if (!disturbsBase || isTeardown) return [];
  const subjects = observed.containers.map((container) => container.name);
  const message = `all ${subjects.length} containers of the decky restart`;
  return [{ code: "restart-base", count: subjects.length, message, subjects }];
}

function teardownRisk(steps: readonly Step[], { observed, isTeardown }: RiskInput): Risk[] {
  if (!isTeardown || steps.length === 0) return [];
  return [{ code: "teardown", count: 1, message: "the decky and its stored identity go away", subjects: [observed.name] }];
}

const disturbing: ReadonlySet<StepVerb> = new Set(["recreate", "restart", "stop", "remove"]);

/** Sessions on ports of services that the plan disturbs. A teardown or a new base cuts all. */
function cutSessions(steps: readonly Step[], { observed, portsOf }: RiskInput): readonly Session[] {
  const disturbed = steps.filter((step) => disturbing.has(step.verb));
  if (disturbed.some((step) => step.service === "")) return observed.sockets.sessions;
  const slugs = new Set(disturbed.map((step) => step.service));
  const ports = new Set([...slugs].flatMap((slug) => portsOf(slug)));
  return observed.sockets.sessions.filter((session) => ports.has(session.port));
}
