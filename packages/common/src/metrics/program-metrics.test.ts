import { createHook } from "node:async_hooks";
import { expect, it } from "vitest";
import { createProgramMetrics } from "./program-metrics.ts";

it("says what the process does, and what was added", async () => {
  const metrics = createProgramMetrics("1.2.3");
  metrics.counter({ name: "decnet_test_total", help: "Tests." })({}, 2);
  const text = await metrics.text();
  for (const line of ['decnet_build_info{version="1.2.3"} 1', "decnet_test_total 2"]) expect(text.split("\n")).toContain(line);
  expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
  expect(text).toMatch(/^nodejs_eventloop_lag_max_seconds \S+$/m);
  const names = text.split("\n").flatMap((line) => /^# TYPE (\S+) /.exec(line)?.[1] ?? []);
  expect(new Set(names).size).toBe(names.length);
});

it("watches the process once, however many programs are begun in it", () => {
  createProgramMetrics("1.2.3");
  const begun: string[] = [];
  const hook = createHook({ init: (_, type) => void begun.push(type) }).enable();
  for (let count = 0; count < 20; count += 1) createProgramMetrics("1.2.3");
  hook.disable();
  expect(begun.filter((type) => /ELDHISTOGRAM|PERFORMANCE|Timeout|Immediate/i.test(type))).toEqual([]);
});
