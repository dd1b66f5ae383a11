import { execFile, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it, onTestFinished } from "vitest";

it("takes no more descriptors on a host with many processes", async () => {
  const others = Array.from({ length: 150 }, () => spawn("sleep", ["60"], { stdio: "ignore" }));
  onTestFinished(() => {
    for (const other of others) other.kill("SIGKILL");
  });
  const module = fileURLToPath(new URL("engine-limits.ts", import.meta.url));
  const script = `
    import { readdirSync } from "node:fs";
    import { observeHardLimits } from ${JSON.stringify(module)};
    let most = 0;
    const look = () => { most = Math.max(most, readdirSync("/proc/self/fd").length); };
    const timer = setInterval(look);
    look();
    const before = most;
    await observeHardLimits();
    look();
    clearInterval(timer);
    console.log(most - before);`;
  const node = ["--import", "tsx", "--conditions=source", "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, node);
  expect(Number(stdout)).toBeLessThan(20);
});
