import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Attack, Target } from "./attacks.ts";
import { eventually } from "./eventually.ts";
import { testProgram } from "./programs.ts";

export interface RunningAttacks {
  readonly pid: number;
  end(): Promise<void>;
}

/**
 * Starts attacks in a process of their own; resolves once they are under way. A real attacker has processors of his own: of these
 * he gets hardly more than nobody else wants.
 */
export async function startAttacks(attacks: readonly Attack[], { port, tlsPort }: Target): Promise<RunningAttacks> {
  const words = [...testProgram("attacker.ts"), String(port), String(tlsPort)];
  const child = spawn(process.execPath, [...words, ...attacks.map(({ name }) => name)], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const said = once(createInterface({ input: child.stdout }), "line");
  await Promise.race([said, ended]);
  const { pid } = child;
  if (pid === undefined) throw new Error("the attacker did not start");
  setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  return {
    pid,
    async end() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** How long an operator on the master's own machine waits, milliseconds. */
export interface Waits {
  readonly p50: number;
  readonly p99: number;
  /** Of each call, in order of length. */
  readonly times: readonly number[];
  readonly failures: readonly unknown[];
}

/**
 * An operator's calls, one after the other, half of them on connections of their own, as those of the command line are; after
 * each he rests for so long.
 */
export async function callAsOperator({ port }: Target, token: string, calls: number, restMs = 0): Promise<Waits> {
  const open = () => createClientTransport({ address: `http://127.0.0.1:${port}`, token });
  const kept = open();
  const times: number[] = [];
  const failures: unknown[] = [];
  for (let call = 0; call < calls; call += 1) {
    const { transport, close } = call % 2 === 0 ? kept : open();
    const from = performance.now();
    try {
      if (call % 4 < 2) await createClient(AccessService, transport).whoAmI({}, { timeoutMs: 20_000 });
      else await createClient(FleetService, transport).listDeckies({}, { timeoutMs: 20_000 });
    } catch (error) {
      failures.push(error);
    }
    times.push(performance.now() - from);
    if (call % 2 !== 0) close();
    if (restMs > 0) await delay(restMs);
  }
  kept.close();
  const sorted = times.sort((left, right) => left - right);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), times: sorted, failures };
}

/** The master's own metrics at one moment. Each look begins those of its event loop anew. */
export async function readMetrics({ port }: Target): Promise<(name: string, labels?: string) => number> {
  const response = await eventually(async () => {
    // Who floods the same port takes from what callers without a credential have in common: one may be refused, or cut.
    const asked = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined);
    return asked?.ok === true && asked;
  });
  const lines = (await response.text()).split("\n");
  return (name, labels = "") => {
    const line = lines.find((each) => each.startsWith(`${name}${labels} `));
    return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(" ") + 1));
  };
}

/** One of them; `labels` as they stand there. NaN when there is none. */
export async function readMetric(target: Target, name: string, labels?: string): Promise<number> {
  return (await readMetrics(target))(name, labels);
}
