import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DeckyRefSchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { BatchResultSchema, BatchSummarySchema } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { describe, expect, it } from "vitest";
import { exitOfResult, formatBatchCounters, formatBatchResult, planOfBatch } from "./batch.ts";

const result = (name: string, more: MessageInitShape<typeof BatchResultSchema>) => {
  const made = create(BatchResultSchema, more);
  made.decky = create(DeckyRefSchema, { name });
  made.service = "ftp";
  return made;
};
const removal = (host: string, sessions = 0) => ({
  operation: {
    kind: OperationKind.REMOVE_SERVICE,
    host,
    plan: { risks: sessions === 0 ? [] : [{ code: "cut-sessions", count: sessions, message: `${sessions} open` }] },
  },
});
const failed = { state: OperationState.FAILED, error: { reason: "APPLY_FAILED", message: "stop timed out", undone: true } };

describe("the plan of a batch", () => {
  it("counts deckies, hosts and kinds, sums risks, and names what cannot be", () => {
    const plan = planOfBatch([
      result("web-01", removal("edge-1", 1)),
      result("web-02", removal("edge-1", 2)),
      result("web-03", removal("edge-2")),
      result("web-04", { error: { reason: "HOST_UNREACHABLE", message: "away" } }),
      result("web-05", { error: { reason: "SERVICE_NOT_PRESENT", message: "ftp is not on web-05" } }),
    ]);
    expect(plan.deckies).toBe(4);
    expect(plan.text.split("\n")).toEqual([
      "Plan: 4 deckies on 2 hosts: 3 remove-service, 1 on hosts that are away",
      "    ! cut-sessions: 3 in all   (risk: cut-sessions)",
      "  ✖ web-05         ftp  ftp is not on web-05",
    ]);
  });
});

describe("a result of a batch", () => {
  it("says how the change ended, or for which host it waits", () => {
    expect(formatBatchResult(result("db-03", { operation: failed, error: failed.error }), 88, 212)).toBe(
      "✖ [088/212] db-03          ftp  stop timed out; undone",
    );
    const waiting = { operation: { state: OperationState.PENDING, waitingFor: "host edge-7" } };
    expect(formatBatchResult(result("db-04", waiting), 2, 9)).toBe("↻ [2/9] db-04          ftp  waiting for host edge-7");
    const refused = { error: { reason: "SERVICE_NOT_PRESENT", message: "not on it" } };
    expect(formatBatchResult(result("db-05", refused), 3, 9)).toBe("✖ [3/9] db-05          ftp  not on it; nothing was changed");
    expect(formatBatchResult(result("db-06", { operation: { state: OperationState.SUCCEEDED } }), 4, 9)).toBe(
      "✔ [4/9] db-06          ftp  succeeded",
    );
  });

  it("has the exit code of its operation, or of the refusal", () => {
    expect(exitOfResult(result("a", { operation: failed, error: failed.error }))).toBe(7);
    expect(exitOfResult(result("a", { error: { reason: "DECKY_NOT_FOUND" } }))).toBe(3);
    expect(exitOfResult(result("a", { operation: { state: OperationState.PENDING } }))).toBe(0);
  });

  it("is counted", () => {
    const summary = create(BatchSummarySchema, { total: 9, done: 3, failed: 1, queued: 2, skipped: 1 });
    expect(formatBatchCounters(summary)).toBe("done 3 · failed 1 · waiting 2 · queued 2 · not begun 1");
  });
});
