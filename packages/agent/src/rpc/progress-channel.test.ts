import type { ApplyDeckiesResponse } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createProgressChannel } from "./progress-channel.ts";

const plan = (name: string) => ({ decky: { name }, item: { case: "plan" as const, value: {} } });
const outcome = (name: string) => ({ decky: { name }, item: { case: "outcome" as const, value: {} } });
const names = (message: ApplyDeckiesResponse) => [message, ...message.more].map(({ decky }) => decky?.name).join(" ");

describe("progress", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const open = (isGathered: boolean) => {
    const channel = createProgressChannel(isGathered);
    const read: string[] = [];
    const done = (async () => {
      for await (const message of channel) read.push(names(message));
    })();
    return { channel, read, done };
  };

  it("is told message by message to a caller who reads nothing else", async () => {
    const { channel, read, done } = open(false);
    for (const told of [plan("a"), plan("b"), outcome("a")]) channel.push(told);
    channel.end();
    await done;
    expect(read).toEqual(["a", "b", "a"]);
  });

  it("waits a moment for company", async () => {
    const { channel, read } = open(true);
    channel.push(plan("a"));
    await vi.advanceTimersByTimeAsync(40);
    channel.push(plan("b"));
    expect(read).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);
    expect(read).toEqual(["a b"]);
  });

  it("is told at once with an outcome, and with what else ends then", async () => {
    const { channel, read } = open(true);
    for (const told of [plan("a"), plan("b"), outcome("a"), outcome("b")]) channel.push(told);
    await vi.advanceTimersByTimeAsync(0);
    expect(read).toEqual(["a b a b"]);
  });

  it("fills no message without bound", async () => {
    const { channel, read } = open(true);
    for (let at = 0; at < 65; at += 1) channel.push(plan("a"));
    await vi.advanceTimersByTimeAsync(0);
    expect(read.map((message) => message.split(" ").length)).toEqual([64]);
  });

  it("that waits is told before the end, and before a failure", async () => {
    const ending = open(true);
    ending.channel.push(plan("a"));
    ending.channel.end();
    await ending.done;
    const failing = open(true);
    failing.channel.push(plan("b"));
    failing.channel.fail(new Error("no"));
    await expect(failing.done).rejects.toThrow("no");
    expect([ending.read, failing.read]).toEqual([["a"], ["b"]]);
  });
});
