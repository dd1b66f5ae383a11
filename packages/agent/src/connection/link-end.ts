import { Code, ConnectError } from "@connectrpc/connect";
import { fromConnectError } from "@decnet/common/rpc/errors";

/** Why a connection to a master is over, or never was. */
export type LinkEnd =
  /** It is opened again at once, to the same master, with the new certificate. */
  | { readonly kind: "renewed" }
  | { readonly kind: "stopping" }
  /** The next master is tried after a pause. */
  | { readonly kind: "lost"; readonly why: string };

export const stoppingEnd: LinkEnd = { kind: "stopping" };

export function lost(error: unknown): LinkEnd {
  return { kind: "lost", why: describeFailure(error) };
}

/** For `decnet agent status` and the log. */
export function describeEnd(end: LinkEnd): string {
  switch (end.kind) {
    case "renewed":
      return "the certificate was renewed";
    case "stopping":
      return "the agent is stopping";
    case "lost":
      return end.why;
    default:
      return end satisfies never;
  }
}

export function describeFailure(error: unknown): string {
  if (!(error instanceof ConnectError)) return error instanceof Error ? error.message : String(error);
  const failure = fromConnectError(error);
  if (error.code === Code.Unavailable) return failure.message;
  return [`${failure.reason}: ${failure.message}`, ...failure.next].join("; ");
}
