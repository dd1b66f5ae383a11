import { AppError } from "@decnet/common/errors/app-error";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { Caller, Role } from "../model/access.ts";
import type { TokenStore } from "../store/tokens.ts";
import { mayCall } from "./roles.ts";

/**
 * Streams that are being sent. Each ends with UNAUTHENTICATED as soon as its token no longer allows the call. One token has only
 * so many, and so have all together: each costs something with every change.
 */
export interface OpenStreams {
  /** The messages, until they end or the caller may not have them any more. Throws TOO_MANY_STREAMS before it asks for any. */
  guard<T>(caller: Caller, needed: Role, messages: AsyncIterable<T>): AsyncIterable<T>;
  /** Looks at the tokens of the open streams, again and again; while the database is away, only at what is known of them. */
  watch(signal: AbortSignal): Promise<void>;
}

interface OpenStream {
  readonly caller: Caller;
  readonly needed: Role;
  end(error: AppError): void;
}

/** Well under the two seconds within which a stream has to end. */
const lookMs = 500;
const mostOfOne = 64;
const mostOfAll = 512;

export function createOpenStreams(tokens: Pick<TokenStore, "callers" | "onRevoked">): OpenStreams {
  const open = new Set<OpenStream>();
  const endWhere = (isOver: (stream: OpenStream) => boolean, why: (stream: OpenStream) => string) => {
    for (const stream of open) if (isOver(stream)) stream.end(new AppError("UNAUTHENTICATED", why(stream)));
  };
  tokens.onRevoked((id) =>
    endWhere(
      ({ caller }) => caller.tokenId === id,
      () => "the token was revoked",
    ),
  );
  /** What is known without the database. */
  const endExpired = async (): Promise<void> => {
    const now = new Date();
    endWhere(
      ({ caller: { expiresAt } }) => expiresAt !== null && expiresAt <= now,
      () => "the token has expired",
    );
  };
  const look = async (): Promise<void> => {
    if (open.size === 0) return;
    const asked = new Set(open);
    const found = await tokens.callers([...new Set([...asked].map(({ caller }) => caller.tokenId))]);
    endWhere(
      (stream) => asked.has(stream) && found.get(stream.caller.tokenId) === undefined,
      () => "the token is revoked or has expired",
    );
    const roleNow = ({ caller }: OpenStream) => found.get(caller.tokenId)?.role ?? caller.role;
    endWhere(
      (stream) => asked.has(stream) && !mayCall(roleNow(stream), stream.needed),
      (stream) => `the token has the role ${roleNow(stream)} now, which may not make this call`,
    );
  };
  const refuseTooMany = ({ tokenId }: Caller): void => {
    const ofOne = [...open].filter(({ caller }) => caller.tokenId === tokenId).length;
    if (ofOne < mostOfOne && open.size < mostOfAll) return;
    const why = ofOne < mostOfOne ? `this master has ${open.size} open streams` : `the token has ${ofOne} open streams`;
    throw new AppError("TOO_MANY_STREAMS", `${why}, and no more are taken`, { retryAfterMs: 5_000 });
  };
  return {
    async *guard(caller, needed, messages) {
      refuseTooMany(caller);
      let ended: AppError | undefined;
      let interrupt: (error: AppError) => void = () => undefined;
      const stream: OpenStream = {
        caller,
        needed,
        end(error) {
          ended = error;
          interrupt(error);
        },
      };
      open.add(stream);
      const iterator = messages[Symbol.asyncIterator]();
      let isDone = false;
      try {
        for (;;) {
          if (ended !== undefined) throw ended;
          const next = await new Promise<Awaited<ReturnType<typeof iterator.next>>>((resolve, reject) => {
            interrupt = reject;
            iterator.next().then(resolve, reject);
          });
          isDone = next.done === true;
          if (next.done === true) return;
          yield next.value;
        }
      } finally {
        open.delete(stream);
        // Not awaited: it may be in the middle of waiting for what comes next, and is told by the end of the call.
        if (!isDone) void iterator.return?.().catch(() => undefined);
      }
    },
    watch: async (signal) => {
      const repeat = (work: () => Promise<void>) => repeatUntilAborted(lookMs, signal, work, () => undefined);
      await Promise.all([repeat(endExpired), repeat(look)]);
    },
  };
}
