import type { StoredService } from "../model/decky.ts";
import type { Operation } from "../model/operation.ts";
import { isSameIn } from "./same.ts";

/** Which operations a failed step belongs to: those that asked for the service, else all that the attempt contained. */
export function culpritsOf(open: readonly Operation[], attemptedRevision: number, slug: string): Operation[] {
  const attempted = open.filter((operation) => operation.revision <= attemptedRevision);
  const named = slug === "" ? [] : attempted.filter((operation) => operation.service === slug);
  return named.length > 0 ? named : attempted;
}

/**
 * How an operation ended whose revision is covered by the applied one: superseded when a later change took the place of what it
 * asked for, so that it never was what it says.
 */
export function endOf(
  operation: Operation,
  applied: { readonly revision: number; readonly services: readonly StoredService[] },
  own: readonly StoredService[],
): "succeeded" | "superseded" {
  if (operation.service === "" || operation.revision === applied.revision) return "succeeded";
  return isSameIn(own, applied.services, operation.service) ? "succeeded" : "superseded";
}
