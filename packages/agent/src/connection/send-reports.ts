import { setTimeout as delay } from "node:timers/promises";
import { toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Logger } from "@decnet/common/logging/logger";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { type ReportItem, ReportItemSchema, type ReportResponse } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { ReportQueue } from "../reports/report-queue.ts";
import { describeFailure } from "./link-end.ts";
import type { MasterClient } from "./master-client.ts";

export interface SendReportsOptions {
  readonly instanceId: string;
  readonly reports: ReportQueue;
  readonly checkedMsAgo: () => number | undefined;
  readonly onAnswer: (answer: ReportResponse) => void;
  readonly log: Logger;
}

const batchSize = 50;
/** The master reads a mebibyte. */
const batchBytes = 512 << 10;
const reportMs = 15_000;
/**
 * Pings tell both ends the rest: that the connection lives, when the host was checked last, and that the master has something
 * to tell. What is left is a call that keeps this connection known to whatever stands between: it costs a master of a thousand
 * workers most of what it does at rest.
 */
const heartbeatMs = 120_000;
const retryBackoff = { baseMs: 500, maxMs: 10_000 };

/**
 * Sends what is in the queue, and a heartbeat when nothing is, until aborted. A master that is too busy for a report is still
 * there: coming back would cost it more. Whether it is there is told by the connection itself.
 */
export async function sendReports(client: MasterClient, options: SendReportsOptions, signal: AbortSignal): Promise<void> {
  const { instanceId, reports, checkedMsAgo, log } = options;
  let failures = 0;
  let together = batchSize;
  while (!signal.aborted) {
    const items = firstBytes(reports.peek(together));
    const looked = checkedMsAgo();
    try {
      const answer = await client.registration.report(
        { instanceId, reportStream: reports.stream, items: [...items], ...(looked === undefined ? {} : { lookedMsAgo: looked }) },
        { timeoutMs: reportMs, signal },
      );
      await reports.acknowledge(answer.acknowledged);
      options.onAnswer(answer);
      failures = 0;
      together = batchSize;
    } catch (error) {
      if (signal.aborted) return;
      if (isUnreadable(error) && items.length > 0) {
        // One of them keeps all others waiting: which one is found by sending each alone.
        if (items.length === 1) await giveUp(items[0], error, options);
        together = 1;
        continue;
      }
      if (isPassing(error)) {
        failures += 1;
        const waitMs = backoffMs(failures, retryBackoff, Math.random);
        log.warn("the master did not take a report", { why: describeFailure(error), againInMs: waitMs });
        await delay(waitMs, undefined, { signal }).catch(() => undefined);
        continue;
      }
      await dropRefused(error, options);
    }
    if (reports.length > 0) continue;
    // Agents that came at once do not call at once for ever.
    await reports.bell.wait(heartbeatMs * (0.8 + 0.2 * Math.random()), signal);
  }
}

/** As many of the first as one call may carry, and at least one. */
function firstBytes(items: readonly ReportItem[]): readonly ReportItem[] {
  let bytes = 0;
  const end = items.findIndex((item) => {
    bytes += toBinary(ReportItemSchema, item).length;
    return bytes > batchBytes;
  });
  return end < 0 ? items : items.slice(0, Math.max(1, end));
}

/** What the master can make nothing of, now or ever; not that it does not know our stream: that is registered again. */
function isUnreadable(error: unknown): boolean {
  const { reason, message } = fromConnectError(error);
  if (reason === "REQUEST_TOO_LARGE" || /larger than configured/.test(message)) return true;
  return reason === "REQUEST_INVALID" && !message.startsWith("report_stream");
}

async function giveUp(item: ReportItem | undefined, error: unknown, { reports, log }: SendReportsOptions): Promise<void> {
  log.warn("the master can make nothing of a report, which is lost", { what: item?.item.case, why: describeFailure(error) });
  await reports.drop(({ sequence }) => sequence === item?.sequence);
  await reports.push({ case: "gap", value: { $typeName: "decnet.v1.GapReport", lost: 1n } });
}

/** Takes out the reports about a decky that is not ours any more; throws for every other refusal. */
async function dropRefused(error: unknown, { reports, log }: SendReportsOptions): Promise<void> {
  const failure = fromConnectError(error);
  if (failure.reason !== "DECKY_NOT_ON_HOST") throw error;
  const name = failure.metadata["decky"];
  log.warn("the master does not take reports about a decky that is not ours any more", { decky: name });
  await reports.drop(({ item }) => item.case !== "gap" && item.case !== "engine" && item.value?.decky?.name === name);
}

/** Says nothing against the next try. */
function isPassing(error: unknown): boolean {
  const codes = [Code.Unavailable, Code.DeadlineExceeded, Code.ResourceExhausted, Code.Aborted, Code.Canceled];
  return error instanceof ConnectError && codes.includes(error.code);
}
