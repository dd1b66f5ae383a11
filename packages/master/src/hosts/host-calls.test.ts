import { expect, it } from "vitest";
import { createHostCalls } from "./host-calls.ts";

const host = { id: "h", name: "edge-1" };
const never = new AbortController().signal;
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));

it("has one place for each host, and few that wait for it", async () => {
  const calls = createHostCalls();
  const waiting = Array.from({ length: 8 }, () => calls.run(host, never, untilAborted).catch((error: unknown) => error));
  await expect(calls.run(host, never, async () => 1)).rejects.toMatchObject({ reason: "HOST_BUSY" });
  expect(await calls.run({ id: "other", name: "edge-2" }, never, async () => 1)).toBe(1);
  (await calls.hold("h"))();
  expect(await Promise.all(waiting)).toMatchObject(Array(8).fill({ reason: "HOST_BUSY" }));
});

it("ends what runs for a host that is held, and lets nothing begin before it is released", async () => {
  const calls = createHostCalls();
  const running = calls.run(host, never, untilAborted).catch((error: unknown) => error);
  const release = await calls.hold("h");
  expect(await running).toMatchObject({ reason: "HOST_BUSY" });
  await expect(calls.run(host, never, async () => 1)).rejects.toMatchObject({ reason: "HOST_BUSY" });
  release();
  expect(await calls.run(host, never, async () => 1)).toBe(1);
});
