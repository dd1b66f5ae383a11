import type { Decky } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { GetBusResponse } from "@decnet/contract/gen/decnet/v1/event_pb";
import { type Operation, OperationKind } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Host, HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { deckyName, formatState } from "./decky.ts";
import { age, columns, visible, word } from "./layout.ts";
import { nameOf } from "./plan.ts";

export interface Status {
  readonly context: string;
  readonly version: string;
  readonly counts: Readonly<Record<string, number>>;
  /** The first deckies that do not run, on hosts that are there. */
  readonly troubled: readonly Decky[];
  /** Workers; the master's own host is not among them. */
  readonly hosts: readonly Host[];
  /** Changes that have not ended. */
  readonly running: readonly Operation[];
  /** Changes that failed recently, of deckies that are still there. */
  readonly failed: readonly Operation[];
  /** Undefined: the master is of a version that does not say. */
  readonly bus: GetBusResponse | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

const order = ["degraded", "detached", "failed", "unknown", "changing", "pending", "running"];
const marks: Readonly<Record<string, string>> = {
  degraded: "! degraded",
  detached: "! detached",
  failed: "× failed",
  unknown: "? unknown",
  changing: "↻ changing",
  pending: "↻ pending",
};

export function isLost({ state }: Host): boolean {
  return state === HostState.UNREACHABLE;
}

/** What needs attention, on one screen. Pure. */
export function formatStatus(status: Status): string {
  const { context, version, counts, troubled, hosts, running, failed, bus, now } = status;
  const total = sumOf(counts);
  const machines = 1 + hosts.length;
  const head =
    `${context} · master ${version} · ${total.toLocaleString("en")} deck${total === 1 ? "y" : "ies"} ` +
    `on ${machines} host${machines === 1 ? "" : "s"}`;
  const states = order.flatMap((state) => {
    const count = counts[state] ?? 0;
    return count === 0 ? [] : [`${state === "running" ? "· running" : (marks[state] ?? state)} ${count}`];
  });
  const lost = hosts.filter(isLost);
  const rows = [
    ...busRows(bus, now),
    ...lost.map((host) => ["  ? host", host.name, silence(host, now), `decnet host get ${host.name}`]),
    ...hosts.filter((host) => !isLost(host) && host.message !== "").map(troubledRow),
    ...hosts.filter(({ draining }) => draining).map(drainingRow),
    ...troubled.map((decky) => [
      `  ${formatState(decky.state)}`,
      deckyName(decky),
      `${visible(decky.message)} (seen ${age(decky.observedAt, now)} ago)`,
      `decnet decky get ${deckyName(decky)}`,
    ]),
    ...failed.map((operation) => ["  × change", nameOf(operation), failureLine(operation, now), `decnet op get ${operation.id}`]),
    ...running.map((operation) => [
      "  ↻ runs",
      nameOf(operation),
      runningLine(operation, now),
      `decnet op watch ${operation.id}`,
    ]),
  ];
  const onLost = lost.reduce((sum, host) => sum + sumOf(host.deckies), 0);
  const calm = (counts["running"] ?? 0) + (counts["changing"] ?? 0) + (counts["pending"] ?? 0);
  const more = total - calm - troubled.length - onLost;
  return [
    head,
    "",
    ...(total === 0 ? ["  no deckies yet          decnet fleet apply -f fleet.yaml"] : [`  ${states.join("  ")}`]),
    ...(rows.length === 0 ? [] : ["", columns(rows)]),
    ...(more > 0 ? [`  ${more} more    decnet decky list --select 'state!=running'`] : []),
  ].join("\n");
}

/** Nothing while there is none, or all is well with it. */
function busRows(bus: GetBusResponse | undefined, now: number): string[][] {
  if (bus === undefined || !bus.configured) return [];
  const { waiting, oldestWaiting, trouble, next, dropped, lastDropped, commandsTrouble, commandsNext } = bus;
  const count = waiting.toLocaleString("en");
  const since = oldestWaiting === undefined ? "" : `, the oldest since ${age(oldestWaiting, now)}`;
  const why = trouble === "" ? "" : `: ${visible(trouble)}`;
  return [
    ...(bus.late ? [["  ! bus", "late", `${count} event${waiting === 1 ? "" : "s"} wait${since}${why}`, visible(next)]] : []),
    ...(commandsTrouble === "" ? [] : [["  ! bus", "commands", `wait: ${visible(commandsTrouble)}`, visible(commandsNext)]]),
    ...(dropped > 0n
      ? [
          [
            "  × bus",
            "lost",
            `${dropped.toLocaleString("en")} events went before the bus had them, ${age(lastDropped, now)} ago`,
            "",
          ],
        ]
      : []),
  ];
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function silence(host: Host, now: number): string {
  const count = sumOf(host.deckies);
  return `silent for ${age(host.lastSeen, now)}, ${count} deck${count === 1 ? "y" : "ies"} unknown`;
}

/** It is connected, and something of it is wrong: its engine does not answer, or reports were lost. */
function troubledRow(host: Host): string[] {
  return ["  ! host", host.name, visible(host.message), `decnet host get ${host.name}`];
}

function drainingRow(host: Host): string[] {
  return ["  ↻ host", host.name, `draining, ${sumOf(host.deckies)} deckies left`, `decnet host activate ${host.name}`];
}

function runningLine({ kind, service, actor, createdAt, waitingFor }: Operation, now: number): string {
  const waits = waitingFor === "" ? "" : `, waiting for ${visible(waitingFor)}`;
  return `${`${word(OperationKind, kind)} ${service}`.trim()} by ${visible(actor)}, since ${age(createdAt, now)}${waits}`;
}

function failureLine({ service, error, createdAt }: Operation, now: number): string {
  const undone = error?.undone === true ? " (undone)" : "";
  return `${service} ${visible(error?.message ?? "failed")}, ${age(createdAt, now)} ago${undone}`.trim();
}
