import { ConnectError } from "@connectrpc/connect";
import { type CallFailure, fromConnectError } from "@decnet/common/rpc/errors";
import { nearest } from "@decnet/common/runtime/nearest";
import { ErrorInfoSchema } from "@decnet/contract/gen/google/rpc/error_details_pb";
import { reasons } from "@decnet/contract/reasons";
import type { Connection } from "./connection.ts";
import { type Form, formatDocument } from "./forms.ts";
import { endLive, printRaw, say } from "./output.ts";
import { Interrupted, UsageError } from "./settings.ts";
import { visible } from "./text/layout.ts";

/** Says what went wrong and what to do next, and returns the exit code. Programs get a document as well. */
export async function reportFailure(error: unknown, form: Form, connection?: Connection): Promise<number> {
  endLive();
  if (error instanceof Interrupted) {
    say(error.message);
    return 130;
  }
  if (error instanceof UsageError) {
    say(`error: ${error.message}`);
    printFailure(form, { reason: "USAGE", message: error.message, next: [], exit: 2 });
    return 2;
  }
  const failure = describe(error, connection);
  const exit = reasons[failure.reason].exit;
  say(`error: ${failure.reason}  ${visible(failure.message)}`);
  const meant = connection === undefined ? undefined : await guess(failure, connection).catch(() => undefined);
  if (meant !== undefined) say(` did you mean ${meant}?`);
  for (const { field, description } of failure.violations) say(` field: ${field}: ${visible(description)}`);
  for (const next of failure.next) say(` next:  ${visible(next)}`);
  printFailure(form, { reason: failure.reason, message: failure.message, next: failure.next, exit });
  return exit;
}

function printFailure(form: Form, failure: { reason: string; message: string; next: readonly string[]; exit: number }): void {
  if (form === "jsonl") printRaw(JSON.stringify({ type: "result", state: "FAILED", ...failure }));
  else if (form === "json" || form === "yaml") printRaw(formatDocument(form, { error: failure }));
}

/** When no master answered, the failure says so, and what to check. */
function describe(error: unknown, connection: Connection | undefined): CallFailure {
  const failure = fromConnectError(error);
  const wasAnswered = ConnectError.from(error).findDetails(ErrorInfoSchema).length > 0;
  if (failure.reason !== "HOST_UNREACHABLE" || wasAnswered || connection === undefined) return failure;
  return {
    ...failure,
    message: `no master answers at ${connection.address}: ${failure.message}`,
    next: ["decnet doctor", "decnet up (on the master's machine)"],
  };
}

/** The name that was most likely meant by a mistyped one. */
async function guess(failure: CallFailure, { fleet, catalog }: Connection): Promise<string | undefined> {
  const { decky, service } = failure.metadata;
  if (failure.reason === "DECKY_NOT_FOUND" && decky !== undefined) {
    const { deckies } = await fleet.listDeckies({ pageSize: 1_000 });
    return nearest(
      decky,
      deckies.map((each) => each.ref?.name ?? ""),
    );
  }
  if (failure.reason === "SERVICE_UNKNOWN" && service !== undefined) {
    const { services } = await catalog.listServices({});
    return nearest(
      service,
      services.filter((each) => !each.singleton).map((each) => each.slug),
    );
  }
  if (failure.reason === "SERVICE_NOT_PRESENT" && service !== undefined && decky !== undefined) {
    const found = await fleet.getDecky({ decky: { name: decky } });
    return nearest(service, found.decky?.services.map((each) => each.slug) ?? []);
  }
  return undefined;
}
