import { setMaxListeners } from "node:events";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createScriptedEngine, type ScriptedEngine } from "../support/scripted-engine.ts";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("streams that somebody opens and does not read", () => {
  let master: TestMaster;
  let scripted: ScriptedEngine;
  const closing: (() => void)[] = [];

  beforeAll(async () => {
    master = await useMaster({
      openHostEngine: async ({ catalog }) => {
        scripted = createScriptedEngine(catalog, "test");
        return scripted.engine;
      },
    });
    await deploy(master, { a: ["redis"] });
  });
  afterAll(async () => {
    for (const close of closing) close();
    await master.dispose();
  });

  const viewer = async (name: string) => {
    const { secret } = await master.access.createToken({ name, role: Role.VIEWER });
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token: secret });
    closing.push(close);
    return createClient(EventService, transport);
  };
  const changeOnce = async (at: number): Promise<number> => {
    const begun = performance.now();
    const decky = { name: `${master.prefix}-a` };
    if (at % 2 === 0) await master.mutations.addService({ decky, service: "http" });
    else await master.mutations.removeService({ decky, service: "http" });
    return performance.now() - begun;
  };
  const median = async () => {
    const times: number[] = [];
    for (let at = 0; at < 12; at += 1) times.push(await changeOnce(at));
    return times.sort((one, other) => one - other)[6] ?? 0;
  };

  it("are sixty-four of one token, and one reader of the database feeds them all", { timeout: 60_000 }, async () => {
    const quiet = await median();
    const events = await viewer("greedy");
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const seen = new Map<number, string[]>();
    const refused: string[] = [];
    const follow = async (index: number) => {
      try {
        for await (const { item } of events.subscribe({}, { signal: stop.signal })) {
          const cursors = seen.get(index) ?? [];
          seen.set(index, cursors);
          if (item.case === "event") cursors.push(item.value.cursor);
        }
      } catch (error) {
        if (!stop.signal.aborted) refused.push(fromConnectError(error).reason);
      }
    };
    const followers = Array.from({ length: 200 }, (_, index) => follow(index));
    await eventually(async () => seen.size + refused.length === 200);
    expect(new Set(refused)).toEqual(new Set(["TOO_MANY_STREAMS"]));
    expect(seen.size).toBe(64);

    const other = await viewer("modest");
    const ofOther = new AbortController();
    for await (const { item } of other.subscribe({}, { signal: ofOther.signal })) if (item.case === "heartbeat") break;
    ofOther.abort();

    const crowded = await median();
    // Their messages are read in this process as well.
    expect(crowded).toBeLessThan(Math.max(quiet * 8, 500));
    await eventually(async () => new Set([...seen.values()].map((cursors) => cursors.length)).size === 1);
    const [first] = seen.values();
    expect(first?.length).toBeGreaterThan(12);
    for (const cursors of seen.values()) expect(cursors).toEqual(first);
    stop.abort();
    await Promise.all(followers);
    await eventually(async () => {
      const again = new AbortController();
      for await (const { item } of events.subscribe({}, { signal: again.signal }))
        if (item.case === "heartbeat") {
          again.abort();
          return true;
        }
      return false;
    });
  });

  it("begin in the past and go on with what happens, without a gap and without one twice", async () => {
    const decky = { name: `${master.prefix}-a` };
    const stop = new AbortController();
    const cursors: string[] = [];
    const read = async () => {
      for await (const { item } of master.events.subscribe({ cursor: "0" }, { signal: stop.signal }))
        if (item.case === "event") cursors.push(item.value.cursor);
    };
    const reading = read().catch(() => undefined);
    for (let at = 0; at < 6; at += 1) await changeOnce(at);
    const patterns = [`decky.${decky.name}.>`];
    let head = "";
    const look = new AbortController();
    for await (const { item } of master.events.subscribe({ patterns }, { signal: look.signal })) {
      head = item.value?.cursor ?? "";
      break;
    }
    look.abort();
    await eventually(async () => cursors.at(-1) === head);
    stop.abort();
    await reading;
    expect(new Set(cursors).size).toBe(cursors.length);
    expect([...cursors].sort((one, other) => Number(one) - Number(other))).toEqual(cursors);
  });
});
