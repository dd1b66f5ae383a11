import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Change } from "./change.ts";

/**
 * The operation that an earlier call with the same --request-id started. It is searched for before anything is planned, because a
 * change that is already done has a different plan. Only the newest operations are searched.
 */
export async function findRepeated({ flags, connection }: Pick<Change, "flags" | "connection">): Promise<Operation | undefined> {
  const id = flags.requestId;
  if (id === undefined || id === "" || flags.plan === true || flags.dryRun === true) return undefined;
  const [me, { operations }] = await Promise.all([
    connection.access.whoAmI({}),
    connection.operations.listOperations({ pageSize: 1_000 }),
  ]);
  return operations.find((operation) => operation.requestId === id && operation.actor === me.name);
}
