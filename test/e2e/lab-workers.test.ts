import { randomBytes } from "node:crypto";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LabPlan } from "../support/lab/plan.ts";
import { processesOf, stopProcesses } from "../support/lab/processes.ts";
import { registerLab } from "../support/lab/register.ts";
import { removeLab } from "../support/lab/remove.ts";
import { joinWorkers, leaveWorkers, MasterMissing } from "../support/lab/workers.ts";
import { bringUp } from "../support/lab.ts";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { type TestMaster, useMaster } from "../support/use-master.ts";

describe("the hosts of a lab that is brought up by hand", () => {
  let plan: LabPlan;
  let master: TestMaster;
  let cli: TestCli;
  const reached = () => ({ tlsPort: master.tlsPort ?? 0, env: cli.env });

  beforeAll(async () => {
    const name = `t${process.env["DECNET_TEST_RUN"] ?? ""}${randomBytes(2).toString("hex")}`;
    plan = await registerLab(name, 2, { pid: process.pid });
    await bringUp(plan, []);
    master = await useMaster({
      env: { DECNET_TLS_HOST: plan.masterAddress, DECNET_TLS_PORT: "0", DECNET_CATALOGUE: "" },
    });
    cli = await useCli(master, { isShipped: true });
  });
  afterAll(async () => {
    await cli?.dispose();
    await master?.dispose();
    if (plan !== undefined) await removeLab(plan);
  });

  const states = async () => (await master.swarm.listHosts({})).hosts.map(({ name, state }) => [name, state]);
  const agents = async () => (await processesOf(plan)).filter(({ command }) => command.endsWith("main.js run"));

  it("become workers of the master, once; an agent that ended is started again", async () => {
    await joinWorkers(plan, reached());
    const connected = plan.hosts.map(({ name }) => [name, HostState.CONNECTED]);
    expect(await states()).toEqual(connected);
    const before = await agents();
    expect(before).toHaveLength(2);
    await joinWorkers(plan, reached());
    expect(await agents()).toEqual(before);
    expect(await stopProcesses(before.slice(0, 1), 10_000)).toBe(true);
    await joinWorkers(plan, reached());
    expect(await states()).toEqual(connected);
    expect(await agents()).toHaveLength(2);
  });

  it("stay as they are when no master answers, which is said", async () => {
    const nobody = { ...reached(), env: { ...cli.env, DECNET_ADDRESS: "http://127.0.0.1:1" } };
    await expect(joinWorkers(plan, nobody)).rejects.toThrow(MasterMissing);
    expect(await leaveWorkers(plan, nobody)).toEqual(plan.hosts.map(({ name }) => name));
  });

  it("leave the master's list before they are removed", async () => {
    expect(await leaveWorkers(plan, reached())).toEqual([]);
    expect(await states()).toEqual([]);
  });
});
