import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type BatchMutateRequestSchema,
  type BatchMutateResponse,
  type BatchResult,
  type BatchSummary,
  BatchSummarySchema,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { applyFleet, everywhere, reasonOf } from "../support/swarm-changes.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

describe("a batch of changes on several hosts", () => {
  let swarm: Swarm;
  let second: Worker;

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 2, slugs: ["redis", "http"] });
    const [, other] = swarm.workers;
    if (other === undefined) throw new Error("two workers are needed");
    second = other;
  });
  afterAll(() => swarm?.dispose());
  beforeEach(() => applyFleet(swarm, { "a-1": "edge-1", "a-2": "edge-1", "b-1": "edge-2", "b-2": "edge-2" }, { options: {} }));

  const http = { change: { case: "add" as const, value: { service: "http" } } };
  const noHttp = { change: { case: "remove" as const, value: { service: "http" } } };
  const on = (name: string, service: string) => ({
    change: { case: "add" as const, value: { decky: { name: `${swarm.master.prefix}-${name}` }, service } },
  });
  const all = () => `name=${swarm.master.prefix}-*`;
  const gather = async (stream: AsyncIterable<BatchMutateResponse>) => {
    const results: BatchResult[] = [];
    const summaries: BatchSummary[] = [];
    for await (const { item } of stream) {
      if (item.case === "result") results.push(item.value);
      if (item.case === "summary") summaries.push(item.value);
    }
    return { results, first: summaries[0], last: summaries.at(-1) ?? create(BatchSummarySchema) };
  };
  const run = (request: MessageInitShape<typeof BatchMutateRequestSchema>) => gather(swarm.master.mutations.batchMutate(request));
  const countsOf = ({ done, failed, queued, skipped }: BatchSummary) => ({ done, failed, queued, skipped });
  const operationOf = async (id: string) => {
    const { operation } = await swarm.master.operations.getOperation({ id });
    if (operation === undefined) throw new Error("no operation");
    return operation;
  };
  const endOf = (id: string) =>
    eventually(async () => {
      const operation = await operationOf(id);
      return operation.state >= OperationState.SUCCEEDED ? operation : undefined;
    }, 60_000);
  const httpOn = async () => (await everywhere(swarm)).filter((each) => each.endsWith("-http"));

  it("is planned, then done, each change with its own result, as one operation whose parts are found by it", async () => {
    const dry = await run({ select: all(), changes: [http], options: { dryRun: true } });
    expect([dry.last.operation, countsOf(dry.last)]).toEqual(["", { done: 4, failed: 0, queued: 0, skipped: 0 }]);
    expect(dry.results.every(({ operation }) => operation?.plan?.text.includes("create") === true)).toBe(true);
    expect(await httpOn()).toEqual([]);
    const requestId = `${swarm.master.prefix}-once`;
    const request = { select: `${all()},host=edge-*`, changes: [http], parallel: 2, options: { requestId } };
    const done = await run(request);
    expect([done.first?.finished, done.first?.total, done.last.finished]).toEqual([false, 4, true]);
    expect(countsOf(done.last)).toEqual({ done: 4, failed: 0, queued: 0, skipped: 0 });
    expect(done.results.map((result) => result.operation?.receipt?.othersUnchanged)).toEqual([true, true, true, true]);
    expect(await httpOn()).toEqual(["edge-1/a-1-http", "edge-1/a-2-http", "edge-2/b-1-http", "edge-2/b-2-http"]);
    const id = done.last.operation;
    const parent = await operationOf(id);
    expect([parent.state, parent.children.length]).toEqual([OperationState.SUCCEEDED, 4]);
    const parts = await swarm.master.operations.listOperations({ filter: `parent=${id}` });
    expect(parts.operations.map((part) => part.id).sort()).toEqual([...parent.children].sort());
    // The same id again is the same batch; another request with it is refused.
    const again = await run(request);
    expect([again.last.operation, again.last.finished, again.results]).toEqual([id, true, []]);
    expect(countsOf(again.last)).toEqual({ done: 4, failed: 0, queued: 0, skipped: 0 });
    expect(await reasonOf(run({ ...request, changes: [noHttp] }))).toBe("REQUEST_ID_REUSED");
  });

  it("runs at most so many at once, and changes of one decky in their order", async () => {
    const done = await run({ select: `name=${swarm.master.prefix}-a-*`, changes: [http, noHttp, http], parallel: 1 });
    expect(countsOf(done.last)).toEqual({ done: 6, failed: 0, queued: 0, skipped: 0 });
    const times = await Promise.all(
      (await operationOf(done.last.operation)).children.map(async (id) => {
        const { startedAt, finishedAt } = await operationOf(id);
        return [
          Number(startedAt?.seconds) * 1e9 + (startedAt?.nanos ?? 0),
          Number(finishedAt?.seconds) * 1e9 + (finishedAt?.nanos ?? 0),
        ];
      }),
    );
    times.sort(([left = 0], [right = 0]) => left - right);
    for (const [index, [start = 0]] of times.entries())
      if (index > 0) expect(start).toBeGreaterThanOrEqual(times[index - 1]?.[1] ?? 0);
    const ordered = await run({ select: `name=${swarm.master.prefix}-b-1`, changes: [http, noHttp, http, noHttp], parallel: 16 });
    expect(ordered.last.failed).toBe(0);
    expect(await httpOn()).toEqual(["edge-1/a-1-http", "edge-1/a-2-http"]);
  });

  it("is refused as a whole before anything is stored, and stops beginning more after so many failures", async () => {
    const before = (await swarm.master.operations.listOperations({ pageSize: 500 })).operations.length;
    expect(await reasonOf(run({ select: all(), changes: [{ change: { case: "add", value: { service: "gopher" } } }] }))).toBe(
      "SERVICE_UNKNOWN",
    );
    expect(await reasonOf(run({ select: "colour=red", changes: [http] }))).toBe("REQUEST_INVALID");
    expect(await reasonOf(run({ select: all(), changes: [on("a-1", "http")] }))).toBe("REQUEST_INVALID");
    expect(await reasonOf(run({ changes: [] }))).toBe("REQUEST_INVALID");
    expect((await swarm.master.operations.listOperations({ pageSize: 500 })).operations.length).toBe(before);
    const names = ["a-1", "none", "gone", "a-2", "b-1"];
    const stopped = await run({ changes: names.map((name) => on(name, "http")), parallel: 1, maxFailures: 2 });
    expect(countsOf(stopped.last)).toEqual({ done: 1, failed: 2, queued: 0, skipped: 2 });
    expect(stopped.results.map(({ error }) => error?.reason)).toEqual([undefined, "DECKY_NOT_FOUND", "DECKY_NOT_FOUND"]);
    const parent = await operationOf(stopped.last.operation);
    expect([parent.state, parent.error?.message]).toEqual([OperationState.FAILED, "1 done, 2 failed, 0 queued, 2 not begun"]);
  });

  it("counts changes whose host is away as queued, and ends with the last of them", async () => {
    await second.stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected("edge-2")));
    const refusing = await run({ select: all(), changes: [http], options: { whenAway: WhenAway.REFUSE } });
    expect(countsOf(refusing.last)).toEqual({ done: 2, failed: 2, queued: 0, skipped: 0 });
    const queued = await run({ select: all(), changes: [{ change: { case: "remove", value: { service: "redis" } } }] });
    expect(countsOf(queued.last)).toEqual({ done: 2, failed: 0, queued: 2, skipped: 0 });
    const waiting = await operationOf(queued.last.operation);
    expect([waiting.state, waiting.waitingFor]).toEqual([OperationState.RUNNING, expect.stringContaining("host edge-2")]);
    // Also when the master is another one by then.
    await swarm.master.restart();
    expect((await operationOf(queued.last.operation)).state).toBe(OperationState.RUNNING);
    await second.start();
    expect((await endOf(queued.last.operation)).state).toBe(OperationState.SUCCEEDED);
    expect((await everywhere(swarm)).filter((each) => each.endsWith("-redis"))).toEqual([]);
  });

  it("begins no more when its caller goes away, and its operation says how it ended", async () => {
    const abort = new AbortController();
    const stream = swarm.master.mutations.batchMutate(
      { select: all(), changes: [http, noHttp, http], parallel: 1 },
      { signal: abort.signal },
    );
    let id = "";
    const gone = (async () => {
      for await (const { item } of stream) {
        if (item.case === "summary") id = item.value.operation;
        else abort.abort();
      }
    })();
    expect(await reasonOf(gone)).not.toBe("");
    const parent = await endOf(id);
    expect(parent.state).toBe(OperationState.FAILED);
    const begun = parent.children.length;
    expect(begun).toBeLessThan(12);
    expect(parent.error?.message).toMatch(new RegExp(`${12 - begun} not begun$`));
    const parts = await Promise.all(parent.children.map(operationOf));
    expect(parts.every((part) => part.state === OperationState.SUCCEEDED)).toBe(true);
  });

  it("ends also when the master is restarted in the middle", async () => {
    const stream = swarm.master.mutations.batchMutate({ select: all(), changes: [http, noHttp, http, noHttp], parallel: 1 });
    let id = "";
    const following = (async () => {
      for await (const { item } of stream) if (item.case === "summary") id = item.value.operation;
    })().catch(() => undefined);
    await eventually(async () => id !== "" && (await operationOf(id)).children.length > 0);
    await swarm.master.restart();
    await following;
    const parent = await endOf(id);
    expect(parent.state).toBe(OperationState.FAILED);
    expect(parent.error?.message).toMatch(/\d+ not begun$/);
    const left = await swarm.master.operations.listOperations({ filter: `parent=${id}` });
    expect(left.operations.every((part) => part.state >= OperationState.SUCCEEDED)).toBe(true);
  });
});
