import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { ConnectedHost } from "../links/host-registry.ts";
import type { DriftPolicy } from "../model/decky.ts";
import { type KnownDriftPolicy, watchDriftPolicy } from "./drift-policy.ts";

let stored: DriftPolicy | Error;
let reads: number;
let asked: string[];
let stopping: AbortController;
let policy: KnownDriftPolicy;
const errors = vi.fn();

beforeEach(async () => {
  [stored, reads, asked, stopping] = ["repair", 0, [], new AbortController()];
  const driftPolicy = async () => {
    reads += 1;
    if (stored instanceof Error) throw stored;
    return stored;
  };
  const connected = (name: string) => (name === "local" ? undefined : host(name));
  const host = (name: string) => ({ reportNow: () => void asked.push(name) }) as Partial<ConnectedHost> as ConnectedHost;
  policy = watchDriftPolicy({
    store: { fleets: { driftPolicy } },
    registry: { names: ["local", "edge-1", "edge-2"], connected },
    log: { error: errors },
    stopping: stopping.signal,
    everyMs,
  });
  await policy.recent();
});
afterEach(() => stopping.abort());

const everyMs = 20;
/** Resolves after so many more turns have read the policy. */
const turns = async (count: number) => {
  const until = reads + count;
  await vi.waitFor(() => expect(reads).toBeGreaterThanOrEqual(until), { interval: 1 });
};

it("is not read for heartbeats, however many there are", async () => {
  stopping.abort();
  const before = reads;
  for (let call = 0; call < 100; call += 1) expect(await policy.recent()).toBe("repair");
  expect(reads).toBe(before);
});

it("that has changed is known after the next turn, and every connected agent is asked to report, once", async () => {
  stored = "report";
  await turns(3);
  expect([await policy.recent(), asked]).toEqual(["report", ["edge-1", "edge-2"]]);
});

it("that was read for one agent is what all hear from then on", async () => {
  stopping.abort();
  stored = "report";
  expect(await policy.read()).toBe("report");
  expect(await policy.recent()).toBe("report");
  expect(asked).toEqual(["edge-1", "edge-2"]);
});

it("stays as it was known while the database is away", async () => {
  stored = new Error("away");
  await turns(2);
  expect(await policy.recent()).toBe("repair");
  expect(errors).toHaveBeenCalled();
  stored = "report";
  await turns(2);
  expect(await policy.recent()).toBe("report");
});
