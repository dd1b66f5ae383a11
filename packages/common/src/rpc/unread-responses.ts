import http2 from "node:http2";
import { type ConnectRouter, type ContextKey, createContextKey } from "@connectrpc/connect";
import type { AppError } from "../errors/app-error.ts";
import type { NodeRequest } from "./node-calls.ts";
import type { BytesOfCall } from "./pending-bytes.ts";

type Response = Awaited<ReturnType<ConnectRouter["handlers"][number]>>;
type Bytes = AsyncIterable<Uint8Array>;

/** Ends a call whatever its caller does, and no other call of the connection where the protocol can. Set by the server. */
export const kCut: ContextKey<() => void> = createContextKey<() => void>(() => undefined, { description: "ends the call" });

/** Of HTTP/1.1 nothing is left of the connection. */
export function cutUnread(request: NodeRequest): void {
  if ("stream" in request) request.stream.close(http2.constants.NGHTTP2_CANCEL);
  else request.socket.destroy();
}

/** Also an empty response has a place in memory until it is read. */
const leastBytes = 2 << 10;
/** Slower than this nobody reads: what is not read by then is not waited for. */
const bytesPerMs = 64;

export interface Unread {
  readonly bytes: Pick<BytesOfCall, "add">;
  /** How long the smallest response may take. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  readonly cut: () => void;
}

/**
 * A response is kept until its caller took it, and some never do: it takes from what its caller may leave unread. Returns why
 * there is no place for it.
 */
export async function keepUnread(response: Response, { bytes, patienceMs, signal, cut }: Unread): Promise<Response | AppError> {
  if (response.body === undefined) return response;
  const iterator = response.body[Symbol.asyncIterator]();
  const first = await iterator.next();
  const size = first.done === true ? 0 : first.value.byteLength;
  const problem = bytes.add(Math.max(size, leastBytes));
  if (problem !== undefined) {
    await iterator.return?.();
    return problem;
  }
  if (!signal.aborted) {
    const timer = setTimeout(cut, patienceMs + size / bytesPerMs);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }
  return { ...response, body: startingWith(first, iterator) };
}

async function* startingWith(first: IteratorResult<Uint8Array>, rest: AsyncIterator<Uint8Array>): Bytes {
  for (let next = first; next.done !== true; next = await rest.next()) yield next.value;
}
