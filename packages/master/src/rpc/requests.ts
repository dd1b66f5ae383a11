import type { HandlerContext } from "@connectrpc/connect";
import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import type { DeckyRef } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OnFailure, type MutationOptions as OptionsMessage, Wait, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { kCaller } from "../access/authenticate.ts";
import type { MutationOptions } from "../decide/resolve-mutation.ts";
import type { Caller } from "../model/access.ts";

/** Reads what every mutating request has. Refuses before anything is looked up. */

const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const slugPattern = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const maxReason = 1_000;
const maxRequestId = 128;
/** Controls, halves of a pair and what is no character would be stored as something else. */
const printable = /^[^\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]*$/u;

export function callerOf(context: Pick<HandlerContext, "values">): Caller {
  const caller = context.values.get(kCaller);
  if (caller === undefined) throw new AppError("UNAUTHENTICATED", "this call needs a token");
  return caller;
}

export function invalid(violations: readonly FieldViolation[]): AppError {
  return new AppError("REQUEST_INVALID", violations.map(({ field, description }) => `${field}: ${description}`).join("; "), {
    violations,
  });
}

export function parseRef(ref: DeckyRef | undefined): { scope: string; name: string } {
  if (ref === undefined || ref.name === "") throw invalid([{ field: "decky.name", description: "is needed" }]);
  if (!namePattern.test(ref.name))
    throw invalid([{ field: "decky.name", description: "lower-case letters, digits and inner hyphens, 1 to 63 characters" }]);
  if (ref.topologyId === "") return { scope: "fleet", name: ref.name };
  // The id of a topology is never a word, such as the one for the fleet.
  if (!/^t[0-9a-f]{12}$/.test(ref.topologyId)) {
    const name = ref.topologyId.slice(0, 64);
    throw new AppError("TOPOLOGY_NOT_FOUND", `there is no topology ${JSON.stringify(name)}`, {
      metadata: { topology: name },
      resource: { type: "topology", name },
    });
  }
  return { scope: ref.topologyId, name: ref.name };
}

export function parseSlug(slug: string, field = "service"): string {
  if (!slugPattern.test(slug)) throw invalid([{ field, description: "must be a slug of the catalog" }]);
  return slug;
}

/** An id that this master could have given. */
export function parseId(id: string): string {
  if (!/^[\w-]{1,64}$/.test(id)) throw invalid([{ field: "id", description: "is not one that this master gave" }]);
  return id;
}

/** Why something is asked for, in the caller's words. */
export function parseReason(reason: string, field: string): string {
  return parsePrintable(reason, field, maxReason);
}

/** The id of a request that may come again. */
export function parseRequestId(requestId: string, field: string): string {
  return parsePrintable(requestId, field, maxRequestId);
}

function parsePrintable(value: string, field: string, max: number): string {
  if (value.length > max) throw invalid([{ field, description: `has at most ${max} characters` }]);
  if (!printable.test(value)) throw invalid([{ field, description: "holds control characters" }]);
  return value;
}

export function parseOptions(options: OptionsMessage | undefined): MutationOptions {
  const problems: FieldViolation[] = [];
  const text = (field: string, value: string, max: number) => {
    if (value.length > max) problems.push({ field: `options.${field}`, description: `has at most ${max} characters` });
    if (!printable.test(value)) problems.push({ field: `options.${field}`, description: "holds control characters" });
    return value;
  };
  const parsed: MutationOptions = {
    requestId: text("request_id", options?.requestId ?? "", maxRequestId),
    expectedRevision: options?.expectedRevision,
    expectedPlan: text("expected_plan", options?.expectedPlan ?? "", 64),
    dryRun: options?.dryRun ?? false,
    reason: text("reason", options?.reason ?? "", maxReason),
    onFailure: options?.onFailure === OnFailure.KEEP ? "keep" : "undo",
    whenAway: options?.whenAway === WhenAway.REFUSE ? "refuse" : "queue",
  };
  if (options !== undefined && !(options.onFailure in OnFailure))
    problems.push({ field: "options.on_failure", description: "unknown value" });
  if (options !== undefined && !(options.whenAway in WhenAway))
    problems.push({ field: "options.when_away", description: "unknown value" });
  if (options !== undefined && !(options.wait in Wait)) problems.push({ field: "options.wait", description: "unknown value" });
  if (problems.length > 0) throw invalid(problems);
  return parsed;
}

export function waits(options: OptionsMessage | undefined): boolean {
  return options?.wait !== Wait.ACCEPTED && options?.dryRun !== true;
}
