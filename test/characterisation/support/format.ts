import { type Decky, DeckyState, type Service, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { Event } from "@decnet/contract/gen/decnet/v1/event_pb";
import type { Revision } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import {
  ChangeAction,
  type ContainerFacts,
  type ContainerReceipt,
  ContainerVerdict,
  type Operation,
  type OperationError,
  OperationKind,
  OperationState,
  type OperationStep,
  type Plan,
  type ServiceChange,
  StepState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Host, HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";

/** Messages as text that people read, without times of their own and whatever else is made up. */

const word = (text: string | undefined) => (text ?? "?").toLowerCase();

export function formatOperation(operation: Operation): string {
  const { decky, service, host, revision, actor, reason, parent, children, requestId, waitingFor } = operation;
  const what = [word(OperationKind[operation.kind]), decky?.name ?? "", service, host === "" ? "" : `on ${host}`];
  return lines([
    `${operation.id} ${what.filter((each) => each !== "").join(" ")}: ${word(OperationState[operation.state])}`,
    `  revision ${revision} by ${actor}${quoted(reason)}`,
    ...given("  request id ", requestId),
    ...given("  part of ", parent),
    ...given("  parts: ", children.join(" ")),
    ...given("  waits for ", waitingFor),
    ...(operation.error === undefined ? [] : indent(formatError(operation.error))),
    ...(operation.plan === undefined ? ["  no plan"] : indent(formatPlan(operation.plan))),
    ...(operation.steps.length === 0 ? [] : ["  steps", ...operation.steps.map((step) => `    ${formatStep(step)}`)]),
    ...(operation.receipt === undefined
      ? ["  no receipt"]
      : [
          `  receipt${operation.receipt.othersUnchanged ? "" : ", others changed too"}`,
          ...operation.receipt.containers.map((container) => `    ${formatReceipt(container)}`),
        ]),
  ]);
}

function formatError({ reason, message, next, outputTail, undone }: OperationError): string {
  return lines([
    `error ${reason}: ${message}${undone ? " (undone)" : ""}`,
    ...next.map((each) => `  next: ${each}`),
    ...outputTail.map((each) => `  output: ${each}`),
  ]);
}

export function formatPlan(plan: Plan): string {
  return lines([
    `plan ${plan.digest === "" ? "without digest" : plan.digest} from revision ${plan.baseRevision}`,
    ...(plan.text === "" ? [] : plan.text.split("\n").map((each) => `  ${each}`)),
    ...given("  untouched: ", plan.untouched.join(" ")),
    ...plan.risks.map(({ code, count, message, subjects }) => `  risk ${code} ${count}: ${message} (${subjects.join(" ")})`),
    ...plan.changes.flatMap((change) => formatChange(change).map((each) => `  ${each}`)),
    ...plan.deckies.flatMap(({ decky, host, action, plan: part }) => [
      `  ${action} ${decky?.name} on ${host}`,
      ...(part === undefined ? [] : indent(formatPlan(part), "    ")),
    ]),
  ]);
}

function formatStep({ attempt, number, verb, target, service, cause, state, outputTail }: OperationStep): string {
  const what = `${attempt}.${number} ${verb} ${target}${service === "" ? "" : ` of ${service}`} (${cause})`;
  return `${what}: ${[word(StepState[state]), ...outputTail].join(" | ")}`;
}

function formatReceipt({ name, service, before, after, verdict, planned }: ContainerReceipt): string {
  const how = `${word(ContainerVerdict[verdict])}${planned ? ", planned" : ""}`;
  return `${name}${service === "" ? "" : ` of ${service}`}: ${formatContainer(before)} -> ${formatContainer(after)}, ${how}`;
}

function formatContainer(facts: ContainerFacts | undefined): string {
  return facts === undefined ? "none" : `${facts.id} since ${facts.startedAt} after ${facts.restartCount} restarts`;
}

function formatChange({ service, action, fields }: ServiceChange): string[] {
  return [
    `change: ${service} ${word(ChangeAction[action])}`,
    ...fields.map((field) =>
      field.secret
        ? `  ${field.key} ${word(ChangeAction[field.action])}, secret`
        : `  ${field.key} ${word(ChangeAction[field.action])}: ${field.before || "none"} -> ${field.after || "none"}`,
    ),
  ];
}

export function formatDecky(decky: Decky): string {
  const { ref, host, state, message, desiredRevision, appliedRevision, lastOperation, services, baseContainerId } = decky;
  return lines([
    `decky ${ref?.name} on ${host}: ${word(DeckyState[state])}${quoted(message)}`,
    `  desired ${desiredRevision}, applied ${appliedRevision}, last operation ${lastOperation || "none"}, ` +
      `base ${baseContainerId || "none"}`,
    ...services.flatMap((service) => indent(formatService(service))),
  ]);
}

function formatService({ slug, state, message, config, secretsSet, staged, stagedSecrets, containerId }: Service): string {
  return lines([
    `${slug}: ${word(ServiceState[state])}${quoted(message)} ${containerId || "no container"}`,
    `  settings ${sortedJson(config ?? {})}${secretsSet.length === 0 ? "" : `, secrets ${[...secretsSet].sort().join(" ")}`}`,
    ...(staged === undefined
      ? []
      : [
          `  staged ${sortedJson(staged)}${stagedSecrets.length === 0 ? "" : `, secrets ${[...stagedSecrets].sort().join(" ")}`}`,
        ]),
  ]);
}

/** The newest first, as they are listed. */
export function formatRevisions(name: string, revisions: readonly Revision[]): string {
  return lines([
    `revisions of ${name}`,
    ...revisions.flatMap(({ number, actor, reason, operation, services, changes }) => [
      `  ${number} by ${actor}${quoted(reason)} in ${operation || "no operation"}: ${services.join(" ") || "no services"}`,
      ...changes.flatMap((change) => formatChange(change).map((each) => `    ${each}`)),
    ]),
  ]);
}

export function formatEvent({ topic, data }: Event): string {
  const { decky_name: _, topology_id: __, request_id: ___, ...rest } = data ?? {};
  return `${topic} ${sortedJson(rest)}`;
}

export function formatHost({ name, state, draining, message, deckies }: Host): string {
  const drain = draining ? ", draining" : "";
  return `host ${name}: ${word(HostState[state])}${drain}${quoted(message)}, deckies ${sortedJson(deckies)}`;
}

export function stateOf({ state }: Operation): string {
  return word(OperationState[state]);
}

export function lines(parts: readonly string[]): string {
  return parts.join("\n");
}

function indent(text: string, by = "  "): string[] {
  return text.split("\n").map((line) => `${by}${line}`);
}

function given(label: string, text: string): string[] {
  return text === "" ? [] : [`${label}${text}`];
}

function quoted(text: string): string {
  return text === "" ? "" : ` ${JSON.stringify(text)}`;
}

export function sortedJson(value: object): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
