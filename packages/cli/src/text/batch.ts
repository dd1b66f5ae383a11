import type { BatchResult, BatchSummary } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationKind, OperationState, type Risk } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { isReason, reasons } from "@decnet/contract/reasons";
import { visible, word } from "./layout.ts";
import { exitOf } from "./verdict.ts";

/** Batches as people read them. Pure. */

/** What a dry run of a batch found. */
export interface BatchPlan {
  readonly deckies: number;
  /** Of all changes; each code once, with the sum of its counts. */
  readonly risks: readonly Risk[];
  readonly text: string;
}

const mostRefusals = 10;

export function planOfBatch(results: readonly BatchResult[]): BatchPlan {
  const isAway = ({ error, operation }: BatchResult) =>
    error?.reason === "HOST_UNREACHABLE" || (operation?.waitingFor ?? "") !== "";
  const planned = results.filter((result) => !isAway(result)).flatMap(({ operation }) => operation ?? []);
  const away = results.filter(isAway);
  const refused = results.filter((result) => result.error !== undefined && !isAway(result));
  const deckies = new Set(results.filter((result) => !refused.includes(result)).map(({ decky }) => decky?.name)).size;
  const hosts = new Set(planned.map(({ host }) => host)).size;
  const kinds = new Map<string, number>();
  for (const { kind } of planned) kinds.set(word(OperationKind, kind), (kinds.get(word(OperationKind, kind)) ?? 0) + 1);
  const risks = sumRisks(planned.flatMap(({ plan }) => plan?.risks ?? []));
  const what = [
    ...[...kinds].map(([kind, count]) => `${count} ${kind}`),
    ...(away.length > 0 ? [`${away.length} on hosts that are away`] : []),
  ];
  return {
    deckies,
    risks,
    text: [
      `Plan: ${count(deckies, "decky", "deckies")} on ${count(hosts, "host", "hosts")}: ${what.join(", ") || "nothing to do"}`,
      ...risks.map((risk) => `    ! ${visible(risk.message)}   (risk: ${risk.code})`),
      ...[...new Set(planned.flatMap(({ plan }) => plan?.warnings ?? []))].map((warning) => `  ! ${visible(warning)}`),
      ...refused.slice(0, mostRefusals).map((result) => `  ✖ ${subject(result)}  ${visible(result.error?.message ?? "")}`),
      ...(refused.length > mostRefusals ? [`  ${refused.length - mostRefusals} more are refused`] : []),
    ].join("\n"),
  };
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

function sumRisks(risks: readonly Risk[]): Risk[] {
  const byCode = new Map<string, Risk>();
  for (const risk of risks) {
    const before = byCode.get(risk.code);
    const count = (before?.count ?? 0) + risk.count;
    byCode.set(risk.code, before === undefined ? risk : { ...risk, count, message: `${risk.code}: ${count} in all` });
  }
  return [...byCode.values()];
}

/** One change that has ended, or waits for its host. */
export function formatBatchResult(result: BatchResult, number: number, total: number): string {
  const { operation, error } = result;
  const count = `[${String(number).padStart(String(total).length, "0")}/${total}]`;
  if (error !== undefined) {
    const undone =
      operation === undefined ? "; nothing was changed" : operation.error?.undone === true ? "; undone" : "; NOT undone";
    return `✖ ${count} ${subject(result)}  ${visible(error.message)}${undone}`;
  }
  if (operation !== undefined && operation.waitingFor !== "")
    return `↻ ${count} ${subject(result)}  waiting for ${visible(operation.waitingFor)}`;
  const state = operation === undefined ? "" : word(OperationState, operation.state);
  return `✔ ${count} ${subject(result)}  ${state}`.trimEnd();
}

export function formatBatchCounters({ total, done, failed, queued, skipped }: BatchSummary): string {
  const open = total - done - failed - queued - skipped;
  const parts = [
    `done ${done}`,
    `failed ${failed}`,
    `waiting ${open}`,
    `queued ${queued}`,
    ...(skipped > 0 ? [`not begun ${skipped}`] : []),
  ];
  return parts.join(" · ");
}

/** The exit code of one change. */
export function exitOfResult({ operation, error }: BatchResult): number {
  if (operation !== undefined && operation.state !== OperationState.UNSPECIFIED) return exitOf(operation);
  if (error === undefined) return 0;
  return isReason(error.reason) ? reasons[error.reason].exit : 1;
}

function subject({ decky, service }: BatchResult): string {
  return `${(decky?.name ?? "").padEnd(14)} ${service}`;
}
