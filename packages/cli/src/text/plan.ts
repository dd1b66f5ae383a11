import type { DeckyRef } from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  ChangeAction,
  type DeckyPlan,
  type FieldChange,
  type Operation,
  OperationKind,
  type Plan,
  type PlanStep,
  type Risk,
  type ServiceChange,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import { oneLine, visible } from "./layout.ts";

export function hasChanges(plan: Plan | undefined): boolean {
  return plan !== undefined && (plan.steps.length > 0 || plan.changes.length > 0 || plan.deckies.length > 0);
}

export interface PlanTextOptions {
  /** Every step and every decky. */
  readonly verbose?: boolean;
}

/** The plan of a dry run as people read it. Pure. */
export function formatPlan(operation: Operation | undefined, options: PlanTextOptions = {}): string {
  const plan = operation?.plan;
  if (plan === undefined) return "nothing to do";
  return [whatIsDone(operation, plan, options), ...warningLines(plan)].join("\n");
}

/** What the master took and left out. */
export function warningLines({ warnings }: Pick<Plan, "warnings">): string[] {
  return warnings.map((warning) => `  ! ${visible(warning)}`);
}

function whatIsDone(operation: Operation | undefined, plan: Plan, options: PlanTextOptions): string {
  if (operation?.decky === undefined) return formatWholePlan(operation, plan, options);
  const where = `${nameOf(operation)}${operation.host === "" ? "" : ` on ${operation.host}`}`;
  if (!hasChanges(plan)) return `Plan for ${where}, r${plan.baseRevision}: nothing to do`;
  const title = `Plan for ${where}, r${plan.baseRevision} → r${plan.baseRevision + 1}`;
  return [title, ...planLines(plan, containerOf(operation.decky), options).map((line) => `  ${line}`)].join("\n");
}

const mostDeckies = 20;
const partMarks: Readonly<Record<string, string>> = { deploy: "  +", teardown: "  -", keep: "  =" };

const editing: readonly OperationKind[] = [
  OperationKind.EDIT_TOPOLOGY,
  OperationKind.CREATE_TOPOLOGY,
  OperationKind.DELETE_TOPOLOGY,
];

function formatWholePlan(operation: Operation | undefined, plan: Plan, options: PlanTextOptions): string {
  if (operation?.kind === OperationKind.REMOVE_ORPHANS) return formatOrphansPlan(operation.host, plan, options);
  if (operation === undefined || operation.topology === "") return formatFleetPlan("the fleet", plan, options);
  if (!editing.includes(operation.kind)) return formatFleetPlan(`the topology ${operation.topology}`, plan, options);
  // What becomes of the design is the first line; what that means for its deckies comes after it.
  const [edit = ""] = plan.text.split("\n", 1);
  if (operation.kind !== OperationKind.EDIT_TOPOLOGY) return `Plan: ${visible(edit)}`;
  const title = `Plan for the topology ${operation.topology}: ${visible(edit)}`;
  return hasChanges(plan) ? [title, ...deckyLines(plan, options)].join("\n") : `${title}\n  = no decky changes: the design does`;
}

/** Each of them, with why it belongs to nothing. */
function formatOrphansPlan(host: string, { steps }: Plan, { verbose = false }: PlanTextOptions): string {
  if (steps.length === 0) return `Plan for ${host}: nothing to do`;
  const shown = verbose ? steps : steps.slice(0, mostDeckies);
  const rest = steps.length - shown.length;
  return [
    `Plan for ${host}: ${steps.length} to remove`,
    ...shown.map(
      ({ verb, target, cause }) => `  - ${verb.replace(/^remove-/, "").padEnd(10)} ${oneLine(target)}   ${oneLine(cause)}`,
    ),
    ...(rest > 0 ? [`  ${rest} more; all of them with -v`] : []),
  ].join("\n");
}

function formatFleetPlan(what: string, plan: Plan, options: PlanTextOptions): string {
  if (!hasChanges(plan)) return `Plan for ${what}: nothing to do`;
  const counts = new Map<string, number>();
  for (const part of plan.deckies) counts.set(part.action, (counts.get(part.action) ?? 0) + 1);
  const summary = [...counts].map(([action, count]) => `${count} to ${action}`);
  const kept = plan.untouched.length > 0 ? [`${plan.untouched.length} not touched`] : [];
  return [`Plan for ${what}: ${[...summary, ...kept].join(", ")}`, ...deckyLines(plan, options)].join("\n");
}

function deckyLines(plan: Plan, options: PlanTextOptions): string[] {
  const shown = options.verbose === true ? plan.deckies : plan.deckies.slice(0, mostDeckies);
  const rest = plan.deckies.length - shown.length;
  return [
    ...shown.flatMap((part) => partLines(part, options)),
    ...(rest > 0 ? [`  ${rest} more; all of them with -v`] : []),
    ...riskLines(plan.risks).map((line) => `  ${line}`),
  ];
}

function partLines(part: DeckyPlan, options: PlanTextOptions): string[] {
  const services = part.plan?.changes.map((change) => change.service).filter((slug) => slug !== "") ?? [];
  const title = `${partMarks[part.action] ?? "+/-"} ${part.decky?.name ?? ""}   ${part.action} on ${part.host}`;
  if (part.action === "deploy" || part.action === "teardown") return [`${title}: ${services.join(", ")}`];
  const inner = part.plan === undefined ? [] : planLines({ ...part.plan, risks: [] }, containerOf(part.decky), options);
  return [title, ...inner.map((line) => `      ${line}`)];
}

const marks: Readonly<Record<ChangeAction, string>> = {
  [ChangeAction.UNSPECIFIED]: "  ?",
  [ChangeAction.ADDED]: "  +",
  [ChangeAction.REMOVED]: "  -",
  [ChangeAction.CHANGED]: "+/-",
  [ChangeAction.STAGED]: "  ~",
};

/** What the names of a decky's containers begin with. */
function containerOf(decky: DeckyRef | undefined): string {
  if (decky === undefined) return "";
  return decky.topologyId === "" ? decky.name : `${decky.topologyId}-${decky.name}`;
}

function planLines(plan: Plan, decky: string, options: PlanTextOptions): string[] {
  const acting = plan.steps.filter((step) => !["settle", "prepare-image", "write-project", "remove-project"].includes(step.verb));
  const changed = new Set(plan.changes.map((change) => change.service));
  const lines = plan.changes.flatMap((change) =>
    changeLines(
      change,
      acting.filter((step) => step.service === change.service && change.service !== ""),
    ),
  );
  const other = acting.filter((step) => step.service === "" || !changed.has(step.service));
  const untouched = plan.untouched.map((name) => slugOf(name, decky)).join(", ");
  return [
    ...lines,
    ...other.map((step) => `+/- ${slugOf(step.target, decky).padEnd(8)} ${step.verb} ${step.target}   ${step.cause}`),
    ...(untouched === "" ? [] : [`  = ${untouched}   not touched`]),
    ...(options.verbose === true
      ? plan.steps.map((step) => `    ${step.number}. ${step.verb} ${step.target}   ${step.cause}`)
      : []),
    ...riskLines(plan.risks),
  ].map(oneLine);
}

function changeLines(change: ServiceChange, steps: readonly PlanStep[]): string[] {
  const name = change.service === "" ? "identity" : change.service;
  const verbs = [...new Set(steps.map((step) => step.verb))].join(" + ");
  const target = steps[0]?.target;
  const act = target === undefined ? stillness(change) : `${verbs} ${target}`;
  const cause = steps.find((step) => step.cause !== "")?.cause ?? "";
  const title = `${marks[change.action]} ${name.padEnd(8)} ${act}${cause === "" ? "" : `   ${cause}`}`.trimEnd();
  if (change.action === ChangeAction.REMOVED && change.fields.length > 0)
    return [title, `      - ${change.fields.length} stored setting${change.fields.length === 1 ? " is" : "s are"} deleted too`];
  return [title, ...change.fields.map((field) => `    ${formatField(field)}`)];
}

function stillness(change: ServiceChange): string {
  return change.action === ChangeAction.STAGED ? "saved, not applied" : "no container is touched";
}

/** One setting: mark, key, what it was and will be. Never the value of a secret. */
export function formatField(field: FieldChange): string {
  return `${marks[field.action]} ${field.key.padEnd(12)} ${fieldValue(field)}`;
}

function fieldValue(field: FieldChange): string {
  if (field.secret) return field.action === ChangeAction.CHANGED ? "(secret) → (secret, changed)" : "(secret)";
  const [before, after] = [shorten(visible(field.before)), shorten(visible(field.after))];
  if (before === "") return after;
  return after === "" ? before : `${before} → ${after}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function riskLines(risks: readonly Risk[]): string[] {
  return risks.map((risk) => {
    const subjects = risk.subjects.length === 0 ? "" : `: ${visible(risk.subjects.slice(0, 5).join(", "))}`;
    const more = risk.subjects.length > 5 ? ` and ${risk.subjects.length - 5} more` : "";
    return `${risk.code === "restart-base" ? "!!" : "  !"} ${visible(risk.message)}${subjects}${more}   (risk: ${risk.code})`;
  });
}

/** `web-07` is the base of web-07, `web-07-ssh` its ssh. */
function slugOf(container: string, decky: string): string {
  if (container === decky) return "base";
  return container.startsWith(`${decky}-`) ? container.slice(decky.length + 1) : container;
}

/** `web-07`, `corp/web-07`, or for changes of many deckies the topology's name, or `fleet`. */
export function nameOf(operation: Pick<Operation, "decky" | "topology">): string {
  const { decky, topology } = operation;
  return decky === undefined ? topology || "fleet" : refName(decky);
}

/** `web-07`, or `corp/web-07`. */
export function refName({ topologyId, topology, name }: Pick<DeckyRef, "topologyId" | "topology" | "name">): string {
  return topologyId === "" ? name : `${topology || topologyId}/${name}`;
}
