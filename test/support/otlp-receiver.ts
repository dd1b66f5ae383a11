import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { z } from "zod";

/** A span as it came over the wire. */
export interface ReceivedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty at the root. */
  readonly parentId: string;
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly error: string | undefined;
  readonly tookMs: number;
}

export interface OtlpReceiver {
  /** `http://address:port` */
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  /** From a span to its root, by name. */
  wayUp(span: ReceivedSpan): string[];
  stop(): Promise<void>;
}

const bytes = z.instanceof(Uint8Array).transform((value) => Buffer.from(value).toString("hex"));
const attributes = z
  .array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) }))
  .transform((pairs) => new Map(pairs.map(({ key, value }) => [key, textOf(value)])));
const request = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: bytes,
              spanId: bytes,
              parentSpanId: bytes,
              name: z.string(),
              startTimeUnixNano: z.string(),
              endTimeUnixNano: z.string(),
              attributes,
              status: z.object({ code: z.number(), message: z.string() }).nullable(),
            }),
          ),
        }),
      ),
    }),
  ),
});
const failed = 2;

/** The OTLP trace service over gRPC, by grpc-js: it has nothing from us but what to look at. */
export async function startOtlpReceiver(host = "127.0.0.1"): Promise<OtlpReceiver> {
  const file = fileURLToPath(new URL("../fixtures/otlp/trace.proto", import.meta.url));
  const definition = protoLoader.loadSync(file, { longs: String, defaults: true });
  const service = definition["opentelemetry.proto.collector.trace.v1.TraceService"] as unknown as grpc.ServiceDefinition;
  const spans: ReceivedSpan[] = [];
  const server = new grpc.Server();
  server.addService(service, {
    Export(call: grpc.ServerUnaryCall<unknown, unknown>, answer: grpc.sendUnaryData<unknown>) {
      for (const { resource, scopeSpans } of request.parse(call.request).resourceSpans)
        for (const span of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({
            service: resource.attributes.get("service.name") ?? "",
            traceId: span.traceId,
            spanId: span.spanId,
            parentId: span.parentSpanId,
            name: span.name,
            attributes: span.attributes,
            error: span.status?.code === failed ? span.status.message : undefined,
            tookMs: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6,
          });
      answer(null, {});
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:0`, grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    endpoint: `http://${host}:${port}`,
    spans,
    wayUp(span) {
      const names: string[] = [];
      let at: ReceivedSpan | undefined = span;
      while (at !== undefined && names.length < spans.length) {
        names.push(at.name);
        const { parentId }: ReceivedSpan = at;
        at = spans.find((each) => each.spanId === parentId);
      }
      return names;
    },
    stop: () => new Promise((resolve) => server.tryShutdown(() => resolve())),
  };
}

/** One of the kinds of values, as text. */
function textOf(value: Readonly<Record<string, unknown>>): string {
  const { arrayValue, ...plain } = value;
  const list = z.object({ values: z.array(z.record(z.string(), z.unknown())) }).safeParse(arrayValue);
  if (list.success) return list.data.values.map(textOf).join(" ");
  return String(Object.values(plain)[0] ?? "");
}
