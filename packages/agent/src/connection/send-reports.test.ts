import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { createLogger } from "@decnet/common/logging/logger";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openReportQueue, type ReportQueue } from "../reports/report-queue.ts";
import type { MasterClient } from "./master-client.ts";
import { sendReports } from "./send-reports.ts";

/** Far less than a heartbeat takes by itself. */
const soonMs = 1_000;

let folder: string;
let reports: ReportQueue;
let taken: string[];
let respond: () => Promise<void>;
let stopping: AbortController;
let sending: Promise<void>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "decnet-reports-"));
  reports = await openReportQueue(folder, 10);
  taken = [];
  respond = async () => undefined;
  stopping = new AbortController();
  const transport = createRouterTransport(({ service }) =>
    service(RegistrationService, {
      async report({ items }) {
        taken.push(items.map(({ item }) => item.case).join(" "));
        await respond();
        return { acknowledged: items.at(-1)?.sequence ?? 0n };
      },
    }),
  );
  const client: MasterClient = {
    registration: createClient(RegistrationService, transport),
    enrollment: createClient(EnrollmentService, transport),
    close: () => undefined,
  };
  const log = createLogger("test", "silent");
  const options = { instanceId: "i", reports, checkedMsAgo: () => undefined, onAnswer: () => undefined, log };
  sending = sendReports(client, options, stopping.signal);
  await untilTaken("");
});
afterEach(async () => {
  stopping.abort();
  await sending;
  await rm(folder, { recursive: true, force: true });
});

const untilTaken = (...wanted: string[]) => vi.waitFor(() => expect(taken).toEqual(wanted), { timeout: soonMs, interval: 5 });

it("sends what is pushed at once", async () => {
  await reports.push({ case: "gap", value: { $typeName: "decnet.v1.GapReport", lost: 1n } });
  await untilTaken("", "gap");
});

it("gives up the one report that the master can make nothing of, says so, and sends the others", async () => {
  const push = (problem: string) => reports.push({ case: "engine", value: { $typeName: "decnet.v1.EngineReport", problem } });
  const got: string[] = [];
  respond = async () => {
    const problems = reports.peek(10).map(({ item }) => (item.case === "engine" ? item.value.problem : (item.case ?? "")));
    if (taken.at(-1)?.includes(" ") || problems[0] === "bad")
      if (problems.includes("bad")) throw new ConnectError("items[0]: is no report", Code.InvalidArgument);
    got.push(...problems.slice(0, taken.at(-1)?.split(" ").length));
  };
  await Promise.all(["a", "bad", "b"].map(push));
  await vi.waitFor(() => expect(got.filter((each) => each !== "")).toEqual(["a", "b", "gap"]), { timeout: 5_000 });
});

it("sends an empty report at once when one is wanted", async () => {
  reports.bell.ring();
  await untilTaken("", "");
});

it("sends another one when it is wanted while a report is under way, which may have been taken before the news", async () => {
  let end: () => void = () => undefined;
  respond = () =>
    new Promise((resolve) => {
      end = resolve;
    });
  reports.bell.ring();
  await untilTaken("", "");
  reports.bell.ring();
  respond = async () => undefined;
  end();
  await untilTaken("", "", "");
});
