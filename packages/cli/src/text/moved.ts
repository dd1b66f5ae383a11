import type { Revision } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { age, visible } from "./layout.ts";
import { formatPlan } from "./plan.ts";

export interface Move {
  /** The refused plan, when it is known. */
  readonly agreed: Operation | undefined;
  /** A dry run of the same change, as it would be now. */
  readonly fresh: Operation;
  /** The newest revisions of the decky; none when its revision is the same. */
  readonly revisions: readonly Revision[];
}

/** Who or what changed since a plan was made, and what the plan is now. */
export function formatMove({ agreed, fresh, revisions }: Move, options: { verbose: boolean; now: number }): string {
  return [...reasonLines(agreed, fresh, revisions, options.now), "the plan now:", formatPlan(fresh, options)].join("\n");
}

/** Whether the decky has a new revision since the plan was made. */
export function hasNewRevision(agreed: Operation | undefined, fresh: Operation): boolean {
  return fresh.decky !== undefined && agreed?.plan?.baseRevision !== (fresh.plan?.baseRevision ?? 0);
}

function reasonLines(agreed: Operation | undefined, fresh: Operation, revisions: readonly Revision[], now: number): string[] {
  if (fresh.decky === undefined) return [];
  if (!hasNewRevision(agreed, fresh))
    return ["moved: there is no new revision; containers or their sessions differ from that plan", ...otherwise(agreed, fresh)];
  const was = agreed?.plan?.baseRevision;
  const title = was === undefined ? "the newest revisions:" : `moved: r${was} → r${fresh.plan?.baseRevision ?? 0}`;
  const since = revisions.filter((revision) => revision.number > (was ?? 0));
  return [title, ...since.map((each) => revisionLine(each, now))];
}

/** The containers that were found in another way than when the plan was shown. */
function otherwise(agreed: Operation | undefined, fresh: Operation): string[] {
  const now = new Set(fresh.plan?.observed);
  const before = new Set(agreed?.plan?.observed);
  if (before.size === 0) return [];
  return [
    ...[...before].filter((line) => !now.has(line)).map((line) => `  was  ${visible(line)}`),
    ...[...now].filter((line) => !before.has(line)).map((line) => `  is   ${visible(line)}`),
  ];
}

function revisionLine({ number, actor, createdAt, reason, operation }: Revision, now: number): string {
  return `  r${number} by ${actor} ${age(createdAt, now)} ago ${visible(reason)}  (${operation})`.trimEnd();
}
