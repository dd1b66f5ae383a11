import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJsonBytes,
  errorToJson,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import type { Reason } from "@decnet/contract/reasons";
import { AppError } from "../errors/app-error.ts";
import { toConnectError } from "./errors.ts";

type Handler = ConnectRouter["handlers"][number];
type Response = Awaited<ReturnType<Handler>>;
type Bytes = AsyncIterable<Uint8Array>;

/**
 * Errors that the RPC library makes itself, for what it cannot decode or will not read, bypass every interceptor and have no
 * reason. They get one here, on their way out, in all protocols.
 */
export function completeErrors(router: ConnectRouter): void {
  for (const [index, handler] of router.handlers.entries()) {
    const complete: typeof handler extends (request: infer R) => unknown ? (request: R) => Promise<Response> : never = async (
      request,
    ) => completeResponse(await handler(request));
    router.handlers[index] = Object.assign(complete, handler);
  }
}

async function completeResponse(response: Response): Promise<Response> {
  const { body, header, trailer, status } = response;
  if (body === undefined) return response;
  const type = header?.get("content-type") ?? "";
  if (/^application\/grpc-web/.test(type)) return { ...response, body: lastFrame(body, trailerFlag, completeWebTrailer) };
  if (/^application\/grpc/.test(type))
    return trailer === undefined ? response : { ...response, body: completeTrailer(body, trailer) };
  if (/^application\/connect\+/.test(type)) return { ...response, body: lastFrame(body, endStreamFlag, completeEndOfStream) };
  return status >= 400 && type === "application/json" ? completeWhole(response, body) : response;
}

/** The trailer goes out after the body. */
async function* completeTrailer(body: Bytes, trailer: Headers): Bytes {
  yield* body;
  const error = completed(findTrailerError(trailer));
  if (error !== undefined) setTrailerStatus(trailer, error);
}

async function completeWhole(response: Response, body: Bytes): Promise<Response> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const fallback = new ConnectError("the error cannot be read", Code.Internal);
  const error =
    response.header?.has("content-encoding") === true ? undefined : completed(errorFromJsonBytes(bytes, undefined, fallback));
  if (error === undefined) return { ...response, body: oneChunk(bytes) };
  const complete = Buffer.from(JSON.stringify(errorToJson(error, undefined)));
  const header = new Headers(response.header);
  if (header.has("content-length")) header.set("content-length", String(complete.byteLength));
  return { ...response, status: codeToHttpStatus(error.code), header, body: oneChunk(complete) };
}

async function* oneChunk(bytes: Uint8Array): Bytes {
  yield bytes;
}

function completeWebTrailer(bytes: Uint8Array): Uint8Array | undefined {
  const trailer = trailerParse(bytes);
  const error = completed(findTrailerError(trailer));
  return error === undefined ? undefined : trailerSerialize(setTrailerStatus(trailer, error));
}

function completeEndOfStream(bytes: Uint8Array): Uint8Array | undefined {
  const { metadata, error } = endStreamFromJson(bytes);
  const complete = completed(error);
  return complete === undefined ? undefined : Buffer.from(JSON.stringify(endStreamToJson(metadata, complete, undefined)));
}

const headBytes = 5;

/** Frames come whole, one for each chunk, with five bytes before each: flags and length. */
async function* lastFrame(body: Bytes, flag: number, complete: (bytes: Uint8Array) => Uint8Array | undefined): Bytes {
  for await (const chunk of body) {
    // A frame that is packed too has another bit set, and is long: such an error has its details.
    const isLast = chunk[0] === flag && chunk.byteLength >= headBytes;
    const changed = isLast ? complete(chunk.subarray(headBytes)) : undefined;
    if (changed === undefined) {
      yield chunk;
      continue;
    }
    const frame = Buffer.alloc(headBytes + changed.byteLength);
    frame.writeUInt8(flag, 0);
    frame.writeUInt32BE(changed.byteLength, 1);
    frame.set(changed, headBytes);
    yield frame;
  }
}

const libraryReasons: Partial<Record<Code, Reason>> = {
  [Code.InvalidArgument]: "REQUEST_INVALID",
  [Code.ResourceExhausted]: "REQUEST_TOO_LARGE",
  [Code.DeadlineExceeded]: "WAIT_ENDED",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
  [Code.PermissionDenied]: "NOT_ALLOWED",
};

/** Undefined when there is nothing to add. */
function completed(error: ConnectError | undefined): ConnectError | undefined {
  if (error === undefined || error.details.length > 0 || error.code === Code.Canceled) return undefined;
  const isOurs = error.code === Code.Internal && /^(internal error$|serialize |the error cannot)/.test(error.rawMessage);
  const reason = isOurs ? "INTERNAL" : (libraryReasons[error.code] ?? "REQUEST_INVALID");
  // What the library calls internal is a body that it cannot read.
  const code = error.code === Code.Internal ? undefined : error.code;
  return toConnectError(new AppError(reason, error.rawMessage, { violations: violationsOf(error.rawMessage) }), code);
}

/** Its messages name the field that it could not decode. */
function violationsOf(message: string): { field: string; description: string }[] {
  const [, field, description] = /^cannot decode field [\w.]+\.(\w+) from JSON: (.+)$/s.exec(message) ?? [];
  return field === undefined || description === undefined ? [] : [{ field, description }];
}
