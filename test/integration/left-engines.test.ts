import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { expect, it, onTestFinished } from "vitest";
import { layNetwork } from "../support/lab/network.ts";
import { registerLab } from "../support/lab/register.ts";
import { removeAbandonedLabs } from "../support/lab/remove.ts";
import { removeLeftEngines } from "../support/own-engine.ts";
import { processesWith } from "../support/processes.ts";
import { testProgram } from "../support/programs.ts";

const namespaces = async () => (await execa("ip", ["netns", "list"])).stdout;
const mounts = () => readFile("/proc/self/mounts", "utf8");

it.each(["SIGTERM", "SIGINT"] as const)("an engine of a test command that got %s is removed by the next", async (signal) => {
  const child = spawn(process.execPath, [...testProgram("hold-engine.ts"), debianBase], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { netns, folder } = JSON.parse(line.toString()) as { netns: string; folder: string };
  onTestFinished(() => void child.kill("SIGKILL"));
  // While its command lives, it is nobody else's.
  await removeLeftEngines();
  expect(await namespaces()).toContain(netns);
  child.kill(signal);
  await once(child, "exit");
  expect(await namespaces()).toContain(netns);
  await removeLeftEngines();
  expect(await namespaces()).not.toContain(netns);
  expect(await mounts()).not.toContain(folder);
  expect(await processesWith(folder)).toEqual([]);
});

it("a lab of a test command that was killed is removed by the next", async () => {
  const keeper = spawn("sleep", ["60"]);
  onTestFinished(() => void keeper.kill("SIGKILL"));
  const lab = await registerLab(`left${randomBytes(2).toString("hex")}`, 1, { pid: keeper.pid ?? 0 });
  await layNetwork(lab);
  const name = lab.hosts[0]?.name ?? expect.fail("the lab has no host");
  await removeAbandonedLabs();
  expect(await namespaces()).toContain(name);
  keeper.kill("SIGKILL");
  await once(keeper, "exit");
  await removeAbandonedLabs();
  expect(await namespaces()).not.toContain(name);
  expect(existsSync(lab.folder)).toBe(false);
});
