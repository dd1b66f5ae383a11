import { nearest } from "@decnet/common/runtime/nearest";
import { OnFailure, Wait, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { ReadFlags } from "../read-flags.ts";
import { parseDuration } from "../text/duration.ts";
import { UsageError } from "../usage-error.ts";

/** Flags that every changing command has. */
export interface ChangeFlags extends ReadFlags {
  readonly yes?: boolean;
  readonly accept?: string[];
  readonly plan?: boolean;
  readonly dryRun?: boolean;
  readonly exitCode?: boolean;
  readonly wait?: string;
  readonly waitIdle?: string;
  readonly expect?: string;
  readonly expectPlan?: string;
  readonly reason?: string;
  readonly requestId?: string;
  readonly onFailure?: string;
  readonly whenAway?: string;
}

/** The options of a mutating call. */
export interface OptionsInit {
  readonly requestId: string;
  readonly expectedRevision?: number;
  readonly expectedPlan: string;
  readonly dryRun: boolean;
  readonly reason: string;
  readonly onFailure: OnFailure;
  readonly wait: Wait;
  readonly whenAway: WhenAway;
}

export function optionsOf(flags: ChangeFlags, fixed: { dryRun: boolean; expectedPlan: string }): OptionsInit {
  if (flags.onFailure !== undefined && flags.onFailure !== "undo" && flags.onFailure !== "keep")
    throw new UsageError("--on-failure is undo or keep");
  if (flags.whenAway !== undefined && flags.whenAway !== "queue" && flags.whenAway !== "refuse")
    throw new UsageError("--when-away is queue or refuse");
  return {
    requestId: fixed.dryRun ? "" : (flags.requestId ?? ""),
    ...(flags.expect === undefined ? {} : { expectedRevision: parseRevision(flags.expect) }),
    expectedPlan: fixed.expectedPlan,
    dryRun: fixed.dryRun,
    reason: flags.reason ?? "",
    onFailure: flags.onFailure === "keep" ? OnFailure.KEEP : OnFailure.UNDO,
    wait: Wait.ACCEPTED,
    whenAway: flags.whenAway === "refuse" ? WhenAway.REFUSE : WhenAway.QUEUE,
  };
}

const risks = ["cut-sessions", "restart-base", "teardown"];
const named = /^(teardown|drain|decommission|installation|count)=(.+)$/;

/** Refuses words that accept nothing: a typing error would otherwise look like consent. Pure. */
export function checkAccepted(accepted: readonly string[], context: string): void {
  for (const word of accepted) {
    if (risks.includes(word) || word === context || named.test(word)) continue;
    const all = [
      ...risks,
      "teardown=NAME",
      "drain=NAME",
      "decommission=NAME",
      "installation=ID",
      "count=N",
      "the name of a protected context",
    ];
    const meant = nearest(word, risks);
    throw new UsageError(
      `--accept ${word} names no risk; ${meant === undefined ? `it is one of ${all.join(", ")}` : `did you mean ${meant}?`}`,
    );
  }
}

/** `r41` or `41` */
export function parseRevision(text: string): number {
  const number = /^r?(\d{1,9})$/.exec(text)?.[1];
  if (number === undefined) throw new UsageError(`a revision is a number such as r41, not ${JSON.stringify(text)}`);
  return Number(number);
}

/** `v7` or `7` */
export function parseVersion(text: string): number {
  const number = /^v?(\d{1,9})$/.exec(text)?.[1];
  if (number === undefined) throw new UsageError(`a version of a design is a number such as v7, not ${JSON.stringify(text)}`);
  return Number(number);
}

/** How long to wait for the end: not at all, for a time, or until it comes. */
export function waitMs(wait: string | undefined): number | undefined {
  if (wait === undefined || wait === "applied") return undefined;
  if (wait === "accepted") return 0;
  const ms = parseDuration(wait);
  if (ms === undefined || ms === 0) throw new UsageError("--wait is applied, accepted, or a time such as 30s");
  return ms;
}
