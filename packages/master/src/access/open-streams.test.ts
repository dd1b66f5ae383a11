import { AppError } from "@decnet/common/errors/app-error";
import { expect, it, vi } from "vitest";
import type { Caller } from "../model/access.ts";
import { createOpenStreams } from "./open-streams.ts";

const ann: Caller = { tokenId: "tk-1", name: "ann", role: "operator", expiresAt: null };

/** Streams that never say anything, and tokens that are what the test says they are. */
function useStreams(caller: Caller) {
  let callers: () => Promise<ReadonlyMap<string, Caller>> = async () => new Map([[caller.tokenId, caller]]);
  let revoke: (id: string) => void = () => undefined;
  const streams = createOpenStreams({
    callers: () => callers(),
    onRevoked(listener) {
      revoke = listener;
    },
  });
  const watch = new AbortController();
  void streams.watch(watch.signal);
  const silence: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<string>>(() => undefined) }),
  };
  const open = (needed: "viewer" | "operator") => {
    const first = streams.guard(caller, needed, silence)[Symbol.asyncIterator]().next();
    return first.then(
      () => "more",
      (error: unknown) => (error instanceof AppError ? `${error.reason}: ${error.message}` : error),
    );
  };
  return {
    open,
    revoke: (id: string) => revoke(id),
    become: (next: Caller | undefined) => {
      callers = async () => new Map(next === undefined ? [] : [[next.tokenId, next]]);
    },
    lose: () => {
      callers = () => Promise.reject(new Error("the database is away"));
    },
    stop: () => watch.abort(),
  };
}

it("a role that was reduced ends what it may not call, and nothing else", async () => {
  const { open, become, stop } = useStreams(ann);
  const batch = open("operator");
  const watch = open("viewer");
  become({ ...ann, role: "viewer" });
  expect(await batch).toBe("UNAUTHENTICATED: the token has the role viewer now, which may not make this call");
  const still = Symbol("still open");
  expect(await Promise.race([watch, Promise.resolve(still)])).toBe(still);
  stop();
});

it("a token that another master revoked, or that is gone, ends its streams", async () => {
  const { open, become, stop } = useStreams(ann);
  const stream = open("viewer");
  become(undefined);
  expect(await stream).toBe("UNAUTHENTICATED: the token is revoked or has expired");
  stop();
});

it("while the database is away, a token is what was last known of it: it expires, and is revoked by this master", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { open, revoke, lose, stop } = useStreams({ ...ann, expiresAt: new Date(Date.now() + 1_000) });
  lose();
  const first = open("viewer");
  revoke("tk-other");
  revoke("tk-1");
  expect(await first).toBe("UNAUTHENTICATED: the token was revoked");
  const second = open("viewer");
  vi.setSystemTime(Date.now() + 1_000);
  expect(await second).toBe("UNAUTHENTICATED: the token has expired");
  vi.useRealTimers();
  stop();
});
