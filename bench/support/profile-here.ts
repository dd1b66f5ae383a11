import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";

/**
 * Imported into a program that is to be profiled: SIGUSR2 begins a profile of its processor time, the next one ends it and
 * writes it as `<number>.cpuprofile` into the folder that BENCH_PROFILES names.
 */
const folder = process.env["BENCH_PROFILES"] ?? ".";
const intervalUs = 500;
const session = new Session();
session.connect();
session.post("Profiler.enable");
session.post("Profiler.setSamplingInterval", { interval: intervalUs });
let isRunning = false;
let count = 0;

process.on("SIGUSR2", () => {
  isRunning = !isRunning;
  if (isRunning) return session.post("Profiler.start");
  session.post("Profiler.stop", (error, { profile }) => {
    if (error !== null) throw error;
    count += 1;
    writeFileSync(join(folder, `${count}.cpuprofile`), JSON.stringify(profile));
  });
});
