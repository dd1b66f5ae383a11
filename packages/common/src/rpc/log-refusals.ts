import { Code, ConnectError, type ContextValues, type Interceptor } from "@connectrpc/connect";
import { AppError } from "../errors/app-error.ts";
import type { Logger } from "../logging/logger.ts";
import { type Bucket, createBucket } from "../runtime/bucket.ts";
import { catchStream } from "./catch-stream.ts";
import { OperationFailed } from "./errors.ts";
import { kPeer } from "./peer.ts";

const longestMessage = 300;
/** Lines about refusals of one caller at one address. Who makes up names has a line of its own for each, without end. */
const lines = { burst: 100, perSecond: 1 };
const mostRemembered = 1_000;
/** The end of a call that is no refusal: the caller went away, or a defect, which was logged with its cause. */
const silent = new Set([Code.Canceled, Code.Internal]);

/**
 * A line for each call that is refused, with the reason that the caller got. It stands outside the interceptor that translates
 * errors. A change that was accepted and failed is no refusal.
 */
export function createRefusalLog(log: Pick<Logger, "info">, callerOf: (values: ContextValues) => string): Interceptor {
  const callers = new Map<string, { readonly bucket: Bucket; unsaid: number }>();
  /** How many were left out since the last line about the caller; undefined: this one is left out, too. */
  const takeLine = (whose: string): number | undefined => {
    const known = callers.get(whose) ?? { bucket: createBucket(lines), unsaid: 0 };
    // The one that was heard of last is the last.
    callers.delete(whose);
    callers.set(whose, known);
    for (const oldest of callers.keys()) {
      if (callers.size <= mostRemembered) break;
      callers.delete(oldest);
    }
    if (!known.bucket.take()) {
      known.unsaid += 1;
      return undefined;
    }
    const { unsaid } = known;
    known.unsaid = 0;
    return unsaid;
  };
  return (next) => async (request) => {
    const noted = (error: unknown) => {
      const failure = ConnectError.from(error);
      if (silent.has(failure.code) || failure.cause instanceof OperationFailed) return error;
      const caller = callerOf(request.contextValues);
      const { address } = request.contextValues.get(kPeer);
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
