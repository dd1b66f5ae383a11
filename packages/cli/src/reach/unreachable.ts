import type { Reason } from "@decnet/contract/reasons";

/** Nothing that the CLI could talk to, or may talk to, is at the address. */
export class Unreachable extends Error {
  readonly reason: Extract<Reason, "MASTER_UNREACHABLE" | "MASTER_NOT_TRUSTED">;
  readonly next: readonly string[];
  constructor(message: string, next: readonly string[], reason: Unreachable["reason"] = "MASTER_UNREACHABLE") {
    super(message);
    this.next = next;
    this.reason = reason;
  }
}
