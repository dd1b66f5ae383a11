import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Connection } from "./connection.ts";
import { parseDecky } from "./deckies.ts";
import { remark } from "./output.ts";
import { UsageError } from "./usage-error.ts";

const mostLooked = 50;

/** The newest revision before the present one that differs from it and whose change did not fail: what a restore undoes to. */
export async function revisionBefore({ fleet, operations }: Connection, name: string): Promise<number> {
  const decky = parseDecky(name);
  const { revisions } = await fleet.listRevisions({ decky, pageSize: mostLooked });
  const [newest, ...older] = revisions;
  for (const { number, operation } of older) {
    const compared = await fleet.listRevisions({ decky, revision: newest?.number ?? 0, compareTo: number });
    if (compared.revisions[0]?.changes.length === 0) continue;
    const made = await operations.getOperation({ id: operation }).catch(() => undefined);
    if (made?.operation?.state === OperationState.FAILED) continue;
    remark(`r${number} is the newest revision before r${newest?.number ?? 0} that differs and did not fail`);
    return number;
  }
  throw new UsageError(`${name} has no revision before r${newest?.number ?? 0} to restore: decnet decky revisions ${name}`);
}
