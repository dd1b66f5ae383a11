import { setMaxListeners } from "node:events";
import { Code, ConnectError, type ConnectRouter, type ContextValues, createContextValues } from "@connectrpc/connect";
import { AppError } from "../errors/app-error.ts";
import { type Connection, kConnection, kTooOften } from "./connection.ts";
import { toConnectError } from "./errors.ts";
import { overloaded } from "./overloaded.ts";
import type { PendingBytes } from "./pending-bytes.ts";
import type { Strangers } from "./strangers.ts";
import { kCut, keepUnread } from "./unread-responses.ts";

type Handler = ConnectRouter["handlers"][number];
type Request = Parameters<Handler>[0];
type Response = Awaited<ReturnType<Handler>>;
type Bytes = AsyncIterable<Uint8Array>;

/** A call of which only the header was read. */
export interface IncomingCall {
  /** `decnet.v1.FleetService/GetDecky` */
  readonly method: string;
  readonly header: Headers;
  readonly contextValues: ContextValues;
  readonly connection: Connection;
}

/**
 * What a call is let in as. "anyone": nobody has to prove anything. "joiner": its proof is in its body. "caller" and "agent" have
 * proved who they are. "refused": an interceptor will refuse it, and its body is not read for that.
 */
export type Standing = "anyone" | "joiner" | "caller" | "agent" | "refused";

export interface CallGuard {
  /** "before" says what can be said of a method without looking anything up. */
  readonly kindOf: (method: string) => "anyone" | "joiner" | "proved";
  /** Looks at who calls, before any of the body is read. Never throws. */
  readonly admit: (call: IncomingCall) => Promise<Standing>;
  readonly strangers: Strangers;
  readonly pending: PendingBytes;
  /** Of responses that nobody took yet. */
  readonly unread: PendingBytes;
  /** How long a small one may lie there. */
  readonly unreadMs: number;
}

/** A body of somebody who has proved nothing. */
const mostOfStranger = 64 << 10;

/** The gate before every handler of the router: who has proved nothing takes from what strangers have, and from nothing else. */
export function guardCalls(router: ConnectRouter, mostBytes: number, guard: CallGuard): void {
  for (const [index, handler] of router.handlers.entries()) {
    const method = `${handler.service.typeName}/${handler.method.name}`;
    const isStream = handler.method.methodKind !== "unary";
    const guarded = (request: Request): Promise<Response> => serve(request, { handler, method, isStream, mostBytes, guard });
    router.handlers[index] = Object.assign(guarded, handler);
  }
}

interface Guarded {
  readonly handler: Handler;
  readonly method: string;
  readonly isStream: boolean;
  readonly mostBytes: number;
  readonly guard: CallGuard;
}

async function serve(incoming: Request, { handler, method, isStream, mostBytes, guard }: Guarded): Promise<Response> {
  const { header, signal, contextValues = createContextValues() } = incoming;
  const request = { ...incoming, contextValues };
  const connection = contextValues.get(kConnection);
  const { strangers, pending, unread, unreadMs } = guard;
  // The library and the handler listen to the same one.
  setMaxListeners(0, signal);
  const kind = guard.kindOf(method);
  const isStranger = !connection.isProven();
  if (contextValues.get(kTooOften)) return handler(failing(request, overloaded("too many calls without a token")));
  const place = kind === "joiner" ? "join" : kind === "anyone" && isStream ? "stream" : "call";
  const leave = isStranger || kind === "joiner" ? strangers.enter(place, connection) : () => undefined;
  if (leave instanceof AppError) return handler(failing(request, leave));
  onEnd(signal, leave);
  const standing = await guard.admit({ method, header, contextValues, connection });
  // Who is waited for is known now: the place is for those who are not.
  if (standing === "caller" || standing === "agent") leave();
  if (standing === "refused") {
    connection.wasRefused();
    return handler(withoutBody(request));
  }
  const isAnyone = standing === "anyone" || standing === "joiner";
  const pool = isAnyone ? "strangers" : standing === "agent" ? "agents" : "callers";
  const bytes = pending.open(pool, connection, isAnyone ? mostOfStranger : mostBytes + overhead);
  onEnd(signal, bytes.release);
  const metered = { ...request, body: isBytes(request.body) ? meter(request.body, bytes.add) : request.body };
  const noRoom = isStream ? undefined : unread.refuse(pool, connection.owner());
  if (noRoom !== undefined) return handler(failing(request, noRoom));
  // A stream waits for its reader with one message; of streams each caller has only so many.
  const answer = async () => {
    const response = await handler(metered);
    if (isStream) return response;
    const unreadBytes = unread.open(pool, connection.owner(), Number.MAX_SAFE_INTEGER);
    onEnd(signal, unreadBytes.release);
    const kept = await keepUnread(response, {
      bytes: unreadBytes,
      patienceMs: unreadMs,
      signal,
      cut: contextValues.get(kCut),
    });
    return kept instanceof AppError ? handler(failing(request, kept)) : kept;
  };
  if (standing !== "joiner") return answer();
  try {
    return await strangers.join(answer, signal);
  } catch (error) {
    return handler(failing(request, error instanceof AppError ? error : overloaded("the caller went away")));
  }
}

/** Frames around the message. */
const overhead = 64 << 10;

function onEnd(signal: AbortSignal, act: () => void): void {
  if (signal.aborted) act();
  else signal.addEventListener("abort", act, { once: true });
}

function isBytes(body: Request["body"]): body is Bytes {
  return Symbol.asyncIterator in (body as object);
}

/** Stops reading at the first bytes that have no place. The rest stays unread, so that the response can still be sent. */
function meter(body: Bytes, add: (bytes: number) => AppError | undefined): Bytes {
  return {
    [Symbol.asyncIterator]() {
      const iterator = body[Symbol.asyncIterator]();
      return {
        async next() {
          const next = await iterator.next().catch((error: unknown) => {
            // Whatever it is, it came from the caller's side.
            throw ConnectError.from(error, Code.Canceled);
          });
          const problem = next.done === true ? undefined : add(next.value.byteLength);
          if (problem !== undefined) throw toConnectError(problem);
          return next;
        },
      };
    },
  };
}

/** The library makes the response in the caller's protocol. */
function failing(request: Request, error: AppError): Request {
  const body: Bytes = { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(toConnectError(error)) }) };
  return { ...request, body };
}

/** An empty message in its place, so that the interceptors run and refuse the call as any other. */
function withoutBody(request: Request): Request {
  if (request.method === "GET") return request;
  const type = request.header.get("content-type") ?? "";
  const message = Buffer.from(/^application\/(?:\S+\+)?json\b/i.test(type) ? "{}" : "");
  const isFramed = /^application\/(?:grpc|connect\+)/i.test(type);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const header = new Headers(request.header);
  for (const name of ["content-length", "content-encoding"]) header.delete(name);
  return { ...request, header, body: once(isFramed ? Buffer.concat([head, message]) : message) };
}

async function* once(bytes: Uint8Array): Bytes {
  if (bytes.length > 0) yield bytes;
}
