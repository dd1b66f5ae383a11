import { randomUUID } from "node:crypto";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { AppError } from "../errors/app-error.ts";
import type { Logger } from "../logging/logger.ts";
import { catchStream } from "./catch-stream.ts";
import { toConnectError, toInternalError } from "./errors.ts";

/**
 * The one place where errors become answers. Expected ones keep their reason; a defect is logged once with its cause and answered
 * with an id only.
 */
export function createErrorInterceptor(log: Logger): Interceptor {
  const translate = (error: unknown, method: string): ConnectError => {
    if (error instanceof AppError) return toConnectError(error);
    // Connect itself refuses malformed requests, and reports callers who went away.
    if (error instanceof ConnectError && error.code !== Code.Internal && error.code !== Code.Unknown) return error;
    // What the library calls internal is a body that it cannot read.
    if (error instanceof ConnectError && /^parse binary: /.test(error.rawMessage))
      return toConnectError(new AppError("REQUEST_INVALID", error.rawMessage));
    if (error instanceof RangeError && /call stack/.test(error.message))
      return toConnectError(new AppError("REQUEST_INVALID", "the request is nested too deeply"));
    const correlationId = randomUUID();
    log.error("call failed unexpectedly", { correlationId, method, err: error });
    return toInternalError(error, correlationId);
  };
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    try {
      const response = await next(request);
      if (!response.stream) return response;
      const onError = (error: unknown) =>
        request.signal.aborted && !(error instanceof AppError)
          ? ConnectError.from(request.signal.reason ?? error, Code.Canceled)
          : translate(error, method);
      return { ...response, message: catchStream(response.message, onError) };
    } catch (error) {
      // The end of the call itself, handed on by the handler: the caller went away, in whatever way.
      if (request.signal.aborted && error === request.signal.reason) throw ConnectError.from(error, Code.Canceled);
      throw translate(error, method);
    }
  };
}
