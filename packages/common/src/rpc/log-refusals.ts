import { Code, ConnectError, type ContextValues, type Interceptor } from "@connectrpc/connect";
import { AppError } from "../errors/app-error.ts";
import { createLineLimit } from "../logging/line-limit.ts";
import type { Logger } from "../logging/logger.ts";
import { catchStream } from "./catch-stream.ts";
import { OperationFailed } from "./errors.ts";
import { kPeer } from "./peer.ts";

const longestMessage = 300;
/** The end of a call that is no refusal: the caller went away, or a defect, which was logged with its cause. */
const silent = new Set([Code.Canceled, Code.Internal]);

/**
 * A line for each call that is refused, with the reason that the caller got. It stands outside the interceptor that translates
 * errors. A change that was accepted and failed is no refusal.
 */
export function createRefusalLog(log: Pick<Logger, "info">, callerOf: (values: ContextValues) => string): Interceptor {
  const takeLine = createLineLimit();
  return (next) => async (request) => {
    const noted = (error: unknown) => {
      const failure = ConnectError.from(error);
      if (silent.has(failure.code) || failure.cause instanceof OperationFailed) return error;
      const caller = callerOf(request.contextValues);
      const { address } = request.contextValues.get(kPeer);
      // Who makes up names has a line of its own for each, without end.
      const unsaid = takeLine(`${caller} ${address}`);
      if (unsaid === undefined) return error;
      log.info("a call was refused", {
        method: `${request.service.typeName}/${request.method.name}`,
        reason: failure.cause instanceof AppError ? failure.cause.reason : Code[failure.code],
        message: failure.rawMessage.slice(0, longestMessage),
        ...(caller === "" ? {} : { caller }),
        ...(unsaid === 0 ? {} : { unsaid }),
        address,
      });
      return error;
    };
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: catchStream(response.message, noted) };
    } catch (error) {
      throw noted(error);
    }
  };
}
