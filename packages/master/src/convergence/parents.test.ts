import { expect, it, vi } from "vitest";
import type { EndedOperation } from "./board.ts";
import { createParents } from "./parents.ts";

/** A store that ends what it is asked about, unless `end` says otherwise, and what the board was told of it. */
function useParents(
  end: (ids: readonly string[]) => Promise<string[]> = async (ids) => [...ids],
  takeBack: (ids: readonly string[]) => Promise<string[]> = async () => [],
) {
  const asked: (readonly string[])[] = [];
  const told: EndedOperation[] = [];
  const error = vi.fn();
  const stopping = new AbortController();
  const store = {
    async end(ids: readonly string[]) {
      asked.push(ids);
      return end(ids);
    },
  };
  const board = { ended: (records: readonly EndedOperation[]) => void told.push(...records) };
  const parents = createParents(store, { takeBack }, board, { error }, stopping.signal);
  return { parents, asked, told, error, stopping };
}

it("looks once at what many parts noted", async () => {
  const { parents, asked, told } = useParents();
  for (let part = 0; part < 1_000; part += 1) parents.note([part % 2 === 0 ? "op-1" : "op-2"]);
  await parents.idle();
  expect(asked).toEqual([["op-1", "op-2"]]);
  expect(told).toEqual([
    { id: "op-1", record: undefined },
    { id: "op-2", record: undefined },
  ]);
});

it("has nothing to do for operations that are no parts", async () => {
  const { parents, asked } = useParents();
  parents.note([null, null]);
  await parents.idle();
  expect(asked).toEqual([]);
});

it("takes back what has to be before anything ends", async () => {
  const order: string[] = [];
  const { parents, told } = useParents(
    async (ids) => {
      order.push(`end ${ids.join()}`);
      return ids.filter((id) => id !== "op-1");
    },
    async (ids) => {
      order.push(`take back ${ids.join()}`);
      return ["op-1"];
    },
  );
  parents.note(["op-1", "op-2"]);
  await parents.idle();
  expect(order).toEqual(["take back op-1,op-2", "end op-1,op-2"]);
  expect(told.map(({ id }) => id)).toEqual(["op-1", "op-2"]);
});

it("ends the others when one cannot be taken back, and looks again", async () => {
  let tries = 0;
  const { parents, asked, told, error, stopping } = useParents(undefined, async () => {
    tries += 1;
    if (tries === 1) throw new Error("no");
    return [];
  });
  parents.note(["op-1"]);
  await vi.waitFor(() => expect(error).toHaveBeenCalledOnce());
  expect(told.map(({ id }) => id)).toEqual(["op-1"]);
  // The pause before the next try ends early.
  stopping.abort();
  await parents.idle();
  expect(asked).toEqual([["op-1"], ["op-1"]]);
});

it("tells of nothing that has not ended", async () => {
  const { parents, told } = useParents(async () => []);
  parents.note(["op-1"]);
  await parents.idle();
  expect(told).toEqual([]);
});

it("looks again at what was noted in the middle of a look", async () => {
  const { parents, asked } = useParents(async (ids) => {
    if (asked.length === 1) parents.note(["op-1"]);
    return [...ids];
  });
  parents.note(["op-1"]);
  await parents.idle();
  expect(asked).toEqual([["op-1"], ["op-1"]]);
});

it("begins again after it was idle", async () => {
  const { parents, asked } = useParents();
  parents.note(["op-1"]);
  await parents.idle();
  parents.note(["op-2"]);
  await parents.idle();
  expect(asked).toEqual([["op-1"], ["op-2"]]);
});

it("keeps what could not be looked at, with what came meanwhile", async () => {
  const { parents, asked, told, error, stopping } = useParents(async (ids) => {
    if (asked.length === 1) throw new Error("away");
    return [...ids];
  });
  parents.note(["op-1"]);
  await vi.waitFor(() => expect(error).toHaveBeenCalled());
  parents.note(["op-2"]);
  // The pause before the next try ends early.
  stopping.abort();
  await parents.idle();
  expect(asked).toEqual([["op-1"], ["op-1", "op-2"]]);
  expect(told.map(({ id }) => id)).toEqual(["op-1", "op-2"]);
});

it("gives up when the master stops: its next start ends what is left", async () => {
  const { parents, asked, stopping } = useParents(() => Promise.reject(new Error("away")));
  stopping.abort();
  parents.note(["op-1"]);
  await parents.idle();
  expect(asked).toEqual([["op-1"]]);
});
