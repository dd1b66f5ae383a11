import { fromConnectError } from "@decnet/common/rpc/errors";
import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Change } from "./change.ts";
import { optionsOf } from "./options.ts";

/**
 * The operation that an earlier call with the same --request-id started. It is searched for before anything is planned, because a
 * change that is already done has a different plan. Only the newest operations are searched. Throws REQUEST_ID_REUSED when that
 * call was about something else.
 */
export async function findRepeated(change: Change): Promise<Operation | undefined> {
  const { flags, connection } = change;
  const id = flags.requestId;
  if (id === undefined || id === "" || flags.plan === true || flags.dryRun === true) return undefined;
  const [me, { operations }] = await Promise.all([
    connection.access.whoAmI({}),
    connection.operations.listOperations({ pageSize: 1_000 }),
  ]);
  const earlier = operations.find((operation) => operation.requestId === id && operation.actor === me.name);
  return earlier === undefined ? undefined : sendAgain(change, earlier);
}

/** The master compares both requests; it starts nothing, because the id is taken. The first one may have carried a digest. */
async function sendAgain(change: Change, earlier: Operation): Promise<Operation> {
  const { expectPlan } = change.flags;
  const digests = expectPlan === undefined ? ["", earlier.plan?.digest ?? ""] : [expectPlan];
  let refusal: unknown;
  for (const expectedPlan of new Set(digests))
    try {
      return (await change.submit(optionsOf(change.flags, { dryRun: false, expectedPlan }))).operation ?? earlier;
    } catch (error) {
      if (fromConnectError(error).reason !== "REQUEST_ID_REUSED") throw error;
      refusal = error;
    }
  throw refusal;
}
