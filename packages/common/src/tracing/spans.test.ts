import { context, propagation, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { afterEach, describe, expect, it } from "vitest";
import { AppError } from "../errors/app-error.ts";
import { createOrigins } from "./origins.ts";
import { beginSpan, carryContext, contextFrom, inSpan, isTracing, noteInSpan, streamWithin, switchTracing } from "./spans.ts";
import { startTracing } from "./start-tracing.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const named = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };

function useSpans() {
  const exporter = new InMemorySpanExporter();
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  switchTracing(true);
  const find = (name: string) => exporter.getFinishedSpans().find((span) => span.name === name) ?? expect.fail(`no span ${name}`);
  return { find, all: () => exporter.getFinishedSpans() };
}

afterEach(() => {
  switchTracing(false);
  trace.disable();
  propagation.disable();
  context.disable();
});

describe("a span", () => {
  it("is the child of what is under way where it begins, also behind a wait", async () => {
    const { find } = useSpans();
    await inSpan("outer", {}, async () => {
      await new Promise(setImmediate);
      await inSpan("inner", { attributes: { "decnet.step": 1 } }, async () => noteInSpan({ "decnet.target": "web" }));
    });
    expect(find("inner").parentSpanContext?.spanId).toBe(find("outer").spanContext().spanId);
    expect(find("inner").attributes).toEqual({ "decnet.step": 1, "decnet.target": "web" });
  });

  it("has the reason of a refusal, and of a defect only what kind it was", async () => {
    const { find } = useSpans();
    const refused = new AppError("PLAN_CHANGED", "it moved");
    await expect(inSpan("refused", {}, () => Promise.reject(refused))).rejects.toBe(refused);
    await expect(inSpan("broken", {}, () => Promise.reject(new TypeError("hidden-word")))).rejects.toThrow(TypeError);
    expect(find("refused").attributes["error.type"]).toBe("PLAN_CHANGED");
    expect(find("refused").status).toEqual({ code: SpanStatusCode.ERROR, message: "it moved" });
    expect(find("broken").status).toEqual({ code: SpanStatusCode.ERROR, message: "TypeError" });
  });

  it("goes on in the trace that a call names, and hands it on in the next call", async () => {
    const { find } = useSpans();
    const header = new Headers();
    await inSpan("served", { parent: contextFrom(new Headers(named)) }, async () => carryContext(header));
    expect(find("served").spanContext().traceId).toBe(traceId);
    expect(header.get("traceparent")).toBe(`00-${traceId}-${find("served").spanContext().spanId}-01`);
  });

  it("begins a trace of its own when what the call names makes no sense", async () => {
    const { find } = useSpans();
    await inSpan("served", { parent: contextFrom(new Headers({ traceparent: "00-nonsense" })) }, async () => undefined);
    expect(find("served").parentSpanContext).toBeUndefined();
  });

  it("of a stream holds what is done for each message, and ends with the stream or with its reader", async () => {
    const { find } = useSpans();
    async function* messages() {
      for (const each of [1, 2, 3]) yield await inSpan(`message ${each}`, {}, async () => each);
    }
    for await (const _ of streamWithin(messages(), beginSpan("whole", {})));
    for (const each of [1, 2, 3])
      expect(find(`message ${each}`).parentSpanContext?.spanId).toBe(find("whole").spanContext().spanId);
    for await (const _ of streamWithin(messages(), beginSpan("left", {}))) break;
    expect(find("left").ended).toBe(true);
  });
});

describe("the origin of an operation", () => {
  it("is the trace in which it was accepted, wherever its work is done", async () => {
    const { find } = useSpans();
    const origins = createOrigins();
    await inSpan("accepted", {}, async () => origins.note("op-1"));
    await inSpan("somebody else's", {}, () =>
      inSpan("work", { parent: origins.parentOf(["op-0", "op-1"]) }, async () => undefined),
    );
    expect(find("work").parentSpanContext?.spanId).toBe(find("accepted").spanContext().spanId);
  });

  it("is no other's when it is not known", async () => {
    const { find } = useSpans();
    const origins = createOrigins();
    await inSpan("somebody else's", {}, () => inSpan("work", { parent: origins.parentOf(["op-1"]) }, async () => undefined));
    expect(find("work").parentSpanContext).toBeUndefined();
  });

  it("is forgotten when there are too many", async () => {
    const { find } = useSpans();
    const origins = createOrigins(2);
    await inSpan("accepted", {}, async () => ["op-1", "op-2", "op-3"].forEach(origins.note));
    await inSpan("old", { parent: origins.parentOf(["op-1"]) }, async () => undefined);
    await inSpan("new", { parent: origins.parentOf(["op-3"]) }, async () => undefined);
    expect([find("old"), find("new")].map((span) => span.parentSpanContext !== undefined)).toEqual([false, true]);
  });
});

describe("without an endpoint", () => {
  it.each([
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: "" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_SDK_DISABLED: "true" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_TRACES_EXPORTER: "none" },
  ])("no span is made (%o)", async (env) => {
    const log = { info: () => expect.fail("it says that traces are sent"), warn: () => undefined };
    const tracing = await startTracing({ service: "test", version: "1", env, log });
    expect(isTracing()).toBe(false);
    expect(await inSpan("nothing", {}, async () => trace.getActiveSpan())).toBeUndefined();
    expect(createOrigins().parentOf(["op-1"])).toBeUndefined();
    await tracing.stop();
  });
});
