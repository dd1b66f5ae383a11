import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BareWorker, enrolBareWorker, refusalReason } from "../support/bare-worker.ts";
import { eventually } from "../support/eventually.ts";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";

/** What each of a worker's calls costs is little, and there may be no end of them. */
describe("a worker that calls without a pause", () => {
  let swarm: MemorySwarm;
  const workers: BareWorker[] = [];

  beforeAll(async () => {
    swarm = await useMemorySwarm();
    for (const name of ["quiet", "storm-1", "storm-2", "flapping"])
      workers.push(await enrolBareWorker({ ...swarm, name, catalogueDigest: swarm.catalog.digest }));
  });
  afterAll(async () => {
    for (const each of workers) each.dispose();
    await swarm?.master.dispose();
  });
  const worker = (index: number) => workers[index] ?? expect.fail(`no worker ${index}`);
  const register = async (each: BareWorker) => {
    const calls = each.calls();
    await calls.registration.register({ facts: each.facts(), instanceId: each.name, reportStream: "s" });
    return calls;
  };

  it.each([
    ["heartbeats", 1, (each: BareWorker) => ({ instanceId: each.name, reportStream: "s" })],
    ["reports of a stream that is none", 2, (each: BareWorker) => ({ instanceId: each.name, reportStream: "x", items: [{}] })],
  ])("is refused, and cut when it goes on; no other worker is: %s", { timeout: 90_000 }, async (_, index, request) => {
    const storm = worker(index);
    const since = performance.now();
    let served = 0;
    let busy = 0;
    // As many as an agent makes in a day, and until it is refused for good.
    for (let wave = 0; wave < 20 && busy < 100; wave += 1) {
      const { registration, close } = storm.calls();
      const calls = Array.from({ length: 240 }, () => refusalReason(registration.report(request(storm))));
      const ends = await Promise.all(calls);
      served += ends.filter((reason) => reason === "taken" || reason === "REQUEST_INVALID").length;
      busy += ends.filter((reason) => reason !== "taken" && reason !== "REQUEST_INVALID").length;
      close();
    }
    const seconds = (performance.now() - since) / 1_000;
    expect(busy).toBeGreaterThanOrEqual(100);
    expect(served).toBeLessThanOrEqual(500 + 20 * (seconds + 1));
    const { registration } = await register(worker(0));
    expect(await refusalReason(registration.report({ instanceId: "quiet", reportStream: "s" }))).toBe("taken");
  });

  it("is not served anew each time that it comes and goes", { timeout: 90_000 }, async () => {
    const flapping = worker(3);
    const since = performance.now();
    const state = async () => (await swarm.master.swarm.getHost({ name: flapping.name })).host?.connectedSince !== undefined;
    let served = 0;
    for (let time = 0; time < 100; time += 1) {
      const socket = await flapping.dial();
      const isServed = await eventually(async () => (socket.destroyed ? { end: false } : (await state()) && { end: true }));
      if (isServed.end) served += 1;
      socket.destroy();
      await eventually(async () => !(await state()));
    }
    const seconds = (performance.now() - since) / 1_000;
    expect(served).toBeGreaterThan(10);
    expect(served).toBeLessThanOrEqual(60 + seconds / 4 + 1);
  });
});
