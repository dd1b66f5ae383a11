import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { runInside, startInside } from "./inside.ts";
import type { HostPlan, LabPlan } from "./plan.ts";
import { processesOf, stopProcesses } from "./processes.ts";
import { waitUntil } from "./wait.ts";

const decnetProgram = resolve(import.meta.dirname, "../../../decnet");
const connectMs = 20_000;
/** An agent that runs already may be about to connect. */
const shortMs = 6_000;
const patienceMs = 5_000;

export interface LabMaster {
  /** Where its TLS port listens; the lab reaches it at the lab's own address for a master. */
  readonly tlsPort: number;
  /** For the decnet command: address and token, when they are not the usual ones. */
  readonly env?: Readonly<Record<string, string>>;
}

export class MasterMissing extends Error {}

/**
 * Makes every host of a lab a worker, by the commands that people use, and waits until all are connected. What is joined
 * already stays.
 */
export async function joinWorkers(plan: LabPlan, master: LabMaster): Promise<void> {
  const asked = await decnet(master, ["whoami"]);
  if (asked.exitCode !== 0) throw new MasterMissing(asked.stderr.split("\n")[0] ?? "");
  for (const end of await Promise.allSettled(plan.hosts.map((host) => joinWorker(plan, host, master))))
    if (end.status === "rejected") throw end.reason;
}

/** Takes the hosts out of the master's list, with their deckies. Answers those that it still has, because it does not answer. */
export async function leaveWorkers(plan: LabPlan, master: LabMaster): Promise<string[]> {
  const joined = plan.hosts.filter(hasJoined);
  const left = await Promise.all(
    joined.map(async ({ name }) => {
      const flags = ["--force", "--accept", `decommission=${name}`];
      const known = await decnet(master, ["host", "get", name]);
      if (known.exitCode === 3) return undefined;
      return (await decnet(master, ["host", "decommission", name, ...flags])).exitCode === 0 ? undefined : name;
    }),
  );
  return left.filter((name) => name !== undefined);
}

function hasJoined(host: HostPlan): boolean {
  return existsSync(join(host.stateDir, "identity.json"));
}

async function joinWorker(plan: LabPlan, host: HostPlan, master: LabMaster): Promise<void> {
  const isConnected = async () => {
    const { exitCode, stdout } = await decnet(master, ["host", "get", host.name, "--json"]);
    return exitCode === 0 && stdout.includes('"HOST_STATE_CONNECTED"');
  };
  if (await isConnected()) return;
  const env = { DECNET_AGENT_DIR: host.stateDir, DECNET_DOCKER_SOCKET: host.socket };
  const logFile = join(host.folder, "agent.log");
  const start = () => startInside(host, decnetProgram, ["agent", "run"], { env, logFile });
  if (hasJoined(host)) {
    if ((await agentsOf(plan, host)).length === 0) await start();
    if (await waitUntil(isConnected, shortMs)) return;
    await stopProcesses(await agentsOf(plan, host), patienceMs);
  }
  const invited = await decnet(master, [
    ...["host", "invite", "--name", host.name, "--label", `lab=${plan.name}`],
    ...["--master", `${plan.masterAddress}:${master.tlsPort}`, "-o", "name"],
  ]);
  if (invited.exitCode !== 0) throw new Error(`${host.name} cannot be invited: ${invited.stderr}`);
  const again = hasJoined(host) ? ["--again"] : [];
  const joined = await runInside(host, decnetProgram, ["agent", "join", invited.stdout.trim(), ...again], {
    env,
    timeout: 60_000,
    reject: false,
  });
  if (joined.exitCode !== 0) throw new Error(`${host.name} cannot join: ${joined.stderr}`);
  await start();
  if (!(await waitUntil(isConnected, connectMs))) throw new Error(`the agent of ${host.name} does not connect; see ${logFile}`);
}

async function agentsOf(plan: LabPlan, host: HostPlan) {
  const own = await processesOf({ ...plan, hosts: [host] });
  return own.filter(({ command, contained }) => !contained && /\/agent\/dist\/main\.js run$/.test(command));
}

function decnet(master: LabMaster, args: readonly string[]) {
  return execa(decnetProgram, args, { env: master.env ?? {}, stdin: "ignore", reject: false, timeout: 60_000 });
}
