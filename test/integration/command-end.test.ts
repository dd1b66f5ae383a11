import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { isAlive } from "../support/lab/processes.ts";
import { testProgram } from "../support/programs.ts";
import { eventually } from "../support/use-master.ts";

it("what a daemon that is killed had compose do ends with it: the next life finds nobody at work", async () => {
  const daemon = spawn(process.execPath, testProgram("run-long-command.ts"), { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void daemon.kill("SIGKILL"));
  const [line] = (await once(daemon.stdout, "data")) as [Buffer];
  const pid = Number(line.toString());
  expect(await isAlive(pid)).toBe(true);
  onTestFinished(async () => {
    if (await isAlive(pid)) process.kill(pid, "SIGKILL");
  });
  daemon.kill("SIGKILL");
  await once(daemon, "exit");
  await eventually(async () => !(await isAlive(pid)), 2_000);
});
