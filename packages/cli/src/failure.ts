import { Code, ConnectError } from "@connectrpc/connect";
import { type CallFailure, fromConnectError } from "@decnet/common/rpc/errors";
import { nearest } from "@decnet/common/runtime/nearest";
import { ErrorInfoSchema } from "@decnet/contract/gen/google/rpc/error_details_pb";
import { reasons } from "@decnet/contract/reasons";
import { adviceFor } from "./advice.ts";
import type { Connection } from "./connection.ts";
import { parseDecky } from "./deckies.ts";
import { formatDocument } from "./forms.ts";
import { endLive, printRaw, say } from "./output.ts";
import { Unreachable } from "./reach/unreachable.ts";
import type { Form } from "./read-flags.ts";
import { deckyName } from "./text/decky.ts";
import { visible } from "./text/layout.ts";
import { Interrupted, UsageError } from "./usage-error.ts";

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
  const failure = await describe(error, connection);
  const exit = reasons[failure.reason].exit;
  say(`error: ${failure.reason}  ${visible(failure.message)}`);
  const meant = connection === undefined ? undefined : await guess(failure, connection).catch(() => undefined);
  if (meant !== undefined) say(` did you mean ${meant}?`);
  for (const { field, description } of failure.violations) say(` field: ${field}: ${visible(description)}`);
  const steps = adviceFor(failure, connection?.context) ?? failure.next;
  for (const next of steps) say(` next:  ${visible(next)}`);
  printFailure(form, { reason: failure.reason, message: failure.message, next: steps, exit });
  return exit;
}

function printFailure(form: Form, failure: { reason: string; message: string; next: readonly string[]; exit: number }): void {
  if (form === "jsonl") printRaw(JSON.stringify({ type: "result", state: "FAILED", ...failure }));
  else if (form === "json" || form === "yaml") printRaw(formatDocument(form, { error: failure }));
}

/** A failure that no master worded is looked into: what is at the address, and what to try. */
async function describe(error: unknown, connection: Connection | undefined): Promise<CallFailure> {
  if (error instanceof Unreachable) return unreachable(error);
  const failure = fromConnectError(error);
  const isWorded = ConnectError.from(error).findDetails(ErrorInfoSchema).length > 0;
  if (!(error instanceof ConnectError) || isWorded || connection === undefined || isOwn(error)) return failure;
  const why = await connection.probe();
  if (why !== undefined) return unreachable(why);
  const isBroken = broken.has(error.code) || isOfSystem(error.cause);
  return unreachable(
    isBroken
      ? new Unreachable(`the connection to the master at ${connection.address} broke: ${failure.message}`, [
          "Try again; a change that was accepted goes on: decnet op list",
        ])
      : new Unreachable(`something answers at ${connection.address}, but not as a decnet master does: ${failure.message}`, [
          "Check host and port: a master listens on 7440 (http, on its own machine) and on 7443 (https)",
        ]),
  );
}

/** A time limit comes from this side of the call. */
function isOwn({ code }: ConnectError): boolean {
  return code === Code.DeadlineExceeded;
}

const broken: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled]);

function isOfSystem(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause;
}

function unreachable({ reason, message, next }: Unreachable): CallFailure {
  return { reason, message, next, metadata: {}, violations: [], operation: undefined };
}

/** The name that was most likely meant by a mistyped one. */
async function guess(failure: CallFailure, { fleet, catalog }: Connection): Promise<string | undefined> {
  const { decky, service } = failure.metadata;
  if (failure.reason === "DECKY_NOT_FOUND" && decky !== undefined) {
    const { deckies } = await fleet.listDeckies({ pageSize: 1_000 });
    return nearest(decky, deckies.map(deckyName));
  }
  if (failure.reason === "SERVICE_UNKNOWN" && service !== undefined) {
    const { services } = await catalog.listServices({});
    return nearest(
      service,
      services.filter((each) => !each.singleton).map((each) => each.slug),
    );
  }
  if (failure.reason === "SERVICE_NOT_PRESENT" && service !== undefined && decky !== undefined) {
    const found = await fleet.getDecky({ decky: parseDecky(decky) });
    return nearest(service, found.decky?.services.map((each) => each.slug) ?? []);
  }
  return undefined;
}
