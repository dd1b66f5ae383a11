import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { age, isVerbose, say, visible } from "../output.ts";
import { formatPlan } from "../text/plan.ts";
import type { Change } from "./change.ts";
import { optionsOf } from "./options.ts";

/** A plan was refused: says who or what moved since it was made, and what the plan is now. `agreed` is the refused one when it is known. */
export async function explainMove(change: Change, agreed: Operation | undefined): Promise<void> {
  const { connection, flags } = change;
  const { operation } = await change.submit({ ...optionsOf(flags, { dryRun: true, expectedPlan: "" }) });
  if (operation === undefined) return;
  const was = agreed?.plan?.baseRevision;
  const now = operation.plan?.baseRevision ?? 0;
  if (operation.decky !== undefined && was !== now) {
    const { revisions } = await connection.fleet.listRevisions({ decky: operation.decky, pageSize: 5 });
    say(was === undefined ? "the newest revisions:" : `moved: r${was} → r${now}`);
    for (const each of revisions.filter((revision) => revision.number > (was ?? 0)))
      say(`  r${each.number} by ${each.actor} ${age(each.createdAt)} ago ${visible(each.reason)}  (${each.operation})`.trimEnd());
  } else if (operation.decky !== undefined)
    say("moved: no revision is new; containers or their sessions are other ones than in that plan");
  say("the plan now:");
  say(formatPlan(operation, { verbose: isVerbose() }));
}
