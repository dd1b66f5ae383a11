import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { isVerbose, say } from "../output.ts";
import { formatMove, hasNewRevision } from "../text/moved.ts";
import type { Change } from "./change.ts";
import { optionsOf } from "./options.ts";

/**
 * A plan was refused: says who or what changed since it was made, and what the plan is now. `agreed` is the refused one, if
 * known.
 */
export async function explainMove(change: Change, agreed: Operation | undefined): Promise<void> {
  const { connection, flags } = change;
  const { operation: fresh } = await change.submit({ ...optionsOf(flags, { dryRun: true, expectedPlan: "" }) });
  if (fresh === undefined) return;
  const { decky } = fresh;
  const { revisions } =
    decky !== undefined && hasNewRevision(agreed, fresh)
      ? await connection.fleet.listRevisions({ decky, pageSize: 5 })
      : { revisions: [] };
  say(formatMove({ agreed, fresh, revisions }, { verbose: isVerbose(), now: Date.now() }));
}
