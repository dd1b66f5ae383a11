import type { Decky } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { deckyName, formatState } from "./decky.ts";
import { age, columns, visible } from "./layout.ts";
import { nameOf } from "./plan.ts";

export interface Status {
  readonly context: string;
  readonly version: string;
  readonly counts: Readonly<Record<string, number>>;
  /** The first deckies that do not run. */
  readonly troubled: readonly Decky[];
  /** Changes that failed recently. */
  readonly failed: readonly Operation[];
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

/** What needs attention, on one screen. Pure. */
export function formatStatus({ context, version, counts, troubled, failed, now }: Status): string {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const head = `${context} · master ${version} · ${total.toLocaleString("en")} deck${total === 1 ? "y" : "ies"}`;
  if (total === 0) return [head, "", "  no deckies yet          decnet fleet apply -f fleet.yaml"].join("\n");
  const states = order.flatMap((state) => {
    const count = counts[state] ?? 0;
    return count === 0 ? [] : [`${state === "running" ? "· running" : (marks[state] ?? state)} ${count}`];
  });
  const rows = [
    ...troubled.map((decky) => [
      `  ${formatState(decky.state)}`,
      deckyName(decky),
      `${visible(decky.message)} (seen ${age(decky.observedAt, now)} ago)`,
      `decnet decky get ${deckyName(decky)}`,
    ]),
    ...failed.map((operation) => ["  × change", nameOf(operation), failureLine(operation, now), `decnet op get ${operation.id}`]),
  ];
  const more = total - (counts["running"] ?? 0) - troubled.length;
  return [
    head,
    "",
    `  ${states.join("  ")}`,
    ...(rows.length === 0 ? [] : ["", columns(rows)]),
    ...(more > 0 ? [`  ${more} more    decnet decky list --select 'state!=running'`] : []),
  ].join("\n");
}

function failureLine({ service, error, createdAt }: Operation, now: number): string {
  const undone = error?.undone === true ? " (undone)" : "";
  return `${service} ${visible(error?.message ?? "failed")}, ${age(createdAt, now)} ago${undone}`.trim();
}
