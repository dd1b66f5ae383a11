import type { Message } from "@bufbuild/protobuf";
import { createContextKey, type Interceptor } from "@connectrpc/connect";

/** A large message that was decoded in pieces before its call began. */
export const kDecoded = createContextKey<Message | undefined>(undefined, { description: "the message, decoded in pieces" });

/** Puts it in the place of the empty one that the RPC library decoded. */
export const takeDecoded: Interceptor = (next) => (request) => {
  const decoded = request.contextValues.get(kDecoded);
  if (decoded === undefined) return next(request);
  return request.stream ? next({ ...request, message: once(request.message, decoded) }) : next({ ...request, message: decoded });
};

async function* once<T>(messages: AsyncIterable<unknown>, decoded: T): AsyncGenerator<T> {
  for await (const _ of messages) yield decoded;
}
