import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { isServing } from "../ask-engine.ts";
import { startInside } from "./inside.ts";
import type { HostPlan } from "./plan.ts";
import { isAlive, signal } from "./processes.ts";
import { waitUntil } from "./wait.ts";

/** Where scripts/setup/engine.sh unpacks an engine beside the system's own; without it, the installed one is started. */
const privatePrograms = "/opt/decnet/engine/bin";
const startMs = 60_000;
const stopMs = 30_000;

/** Starts the host's engine and waits until it answers. It outlives this process. */
export async function startEngine(host: HostPlan): Promise<void> {
  await mkdir(host.stateDir, { recursive: true });
  await forgetPids(host);
  const config = join(host.folder, "daemon.json");
  await writeFile(config, "{}\n");
  const logFile = join(host.folder, "engine.log");
  const args = [
    ...["--config-file", config, "--data-root", host.dataRoot, "--exec-root", host.execRoot, "--pidfile", host.pidFile],
    ...["-H", `unix://${host.socket}`, "--storage-driver", "overlay2"],
  ];
  const path = process.env["PATH"] ?? "";
  const env = { PATH: existsSync(privatePrograms) ? `${privatePrograms}:${path}` : path };
  const pid = await startInside(host, "dockerd", args, { env, logFile });
  const ended = async () => !(await isAlive(pid));
  const answered = await waitUntil(async () => (await answers(host)) || (await ended()), startMs);
  if (!answered || (await ended())) {
    const tail = (await readFile(logFile, "utf8")).split("\n").slice(-15).join("\n");
    throw new Error(`${host.name}: its engine does not answer; the end of ${logFile}:\n${tail}`);
  }
  const { stdout: driver } = await docker(host, ["info", "--format", "{{.Driver}}"]);
  if (driver !== "overlay2") throw new Error(`${host.name}: its engine stores images with ${driver}`);
}

/**
 * Removes the pid files that a killed engine left. Where a dead process keeps its pid until it is asked for its end, the
 * next engine would wait ten seconds for the containerd of the last one, which ended with it.
 */
async function forgetPids(host: HostPlan): Promise<void> {
  await rm(host.pidFile, { force: true });
  const file = join(host.execRoot, "containerd", "containerd.pid");
  const pid = Number(await readFile(file, "utf8").catch(() => ""));
  if (pid > 0 && (await waitUntil(async () => !(await isAlive(pid)), 2_000))) await rm(file, { force: true });
}

/** Ends the engine by its pid; true when it is gone. */
export async function stopEngine(host: HostPlan, how: "SIGTERM" | "SIGKILL"): Promise<boolean> {
  const pid = await enginePid(host);
  if (pid === undefined) return true;
  signal(pid, how);
  return waitUntil(async () => !(await isAlive(pid)), stopMs);
}

/** Undefined when the engine does not run. */
export async function enginePid(host: HostPlan): Promise<number | undefined> {
  const pid = Number(await readFile(host.pidFile, "utf8").catch(() => ""));
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return command.includes(host.dataRoot) ? pid : undefined;
}

export function answers(host: HostPlan): Promise<boolean> {
  return isServing(host.socket);
}

export function docker(host: HostPlan, args: readonly string[], options: { reject?: boolean; timeout?: number } = {}) {
  return execa("docker", ["-H", `unix://${host.socket}`, ...args], { stdin: "ignore", timeout: 120_000, ...options });
}

/** Writes images of the machine's own engine to a file, base layers once. */
export async function saveImages(images: readonly string[], file: string): Promise<void> {
  await execa("docker", ["save", "-o", file, ...images], { stdin: "ignore", timeout: 120_000 });
}

export async function loadImages(host: HostPlan, file: string): Promise<void> {
  await docker(host, ["load", "-q", "-i", file]);
}

export async function removeImages(host: HostPlan, images: readonly string[]): Promise<void> {
  await docker(host, ["rmi", ...images]);
}
