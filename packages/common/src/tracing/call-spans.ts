import { Code, ConnectError, type ContextValues, type Interceptor } from "@connectrpc/connect";
import { type Attributes, context, SpanKind, trace } from "@opentelemetry/api";
import { AppError } from "../errors/app-error.ts";
import { fromConnectError } from "../rpc/errors.ts";
import { beginSpan, carryContext, contextFrom, failSpan, isTracing, streamWithin } from "./spans.ts";

type Call = Parameters<ReturnType<Interceptor>>[0];

const attributesOf = ({ service, method }: Call): Attributes => ({
  "rpc.system": "grpc",
  "rpc.service": service.typeName,
  "rpc.method": method.name,
});

/**
 * A span for each call that is served, in the trace that the caller names. It stands inside the interceptor that says who calls:
 * strangers begin no spans.
 */
export function createServedCallSpans(callerOf: (values: ContextValues) => string = () => ""): Interceptor {
  return (next) => async (request) => {
    if (!isTracing()) return next(request);
    const caller = callerOf(request.contextValues);
    const attributes = { ...attributesOf(request), ...(caller === "" ? {} : { "decnet.caller": caller }) };
    return traced(request, next, { kind: SpanKind.SERVER, attributes, parent: contextFrom(request.header) });
  };
}

/** A span for each call that is made, which the called side continues. */
export const callSpans: Interceptor = (next) => async (request) => {
  if (!isTracing()) return next(request);
  return traced(request, next, { kind: SpanKind.CLIENT, attributes: attributesOf(request), parent: context.active() });
};

async function traced(
  request: Call,
  next: ReturnType<Interceptor>,
  options: Parameters<typeof beginSpan>[1],
): ReturnType<ReturnType<Interceptor>> {
  const begun = beginSpan(`${request.service.typeName}/${request.method.name}`, options);
  const { span, within } = begun;
  if (options.kind === SpanKind.CLIENT) carryContext(request.header, trace.setSpan(within, span));
  try {
    const response = await context.with(within, () => next(request));
    if (response.stream) return { ...response, message: streamWithin(response.message, begun) };
    span.end();
    return response;
  } catch (error) {
    failSpan(span, toldError(error));
    span.end();
    throw error;
  }
}

/** What came over a connection is an error of the library; the reason that it carries says more. */
function toldError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof ConnectError)) return error;
  if (error.cause instanceof AppError) return error.cause;
  const { reason, message } = fromConnectError(error);
  return new AppError(reason, reason === "INTERNAL" ? (Code[error.code] ?? "") : message);
}
