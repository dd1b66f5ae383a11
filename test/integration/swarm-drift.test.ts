import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { DriftPolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** Long before the next heartbeat. */
const soonMs = 2_500;
const noticedMs = 10_000;
/** With the pause after repairs, which is of half a minute at the most when they help. */
const repairedMs = 75_000;

describe("drift on a worker", () => {
  let swarm: Swarm;
  let decky: { name: string };

  const applyFleet = (driftPolicy: DriftPolicy) =>
    swarm.master.fleet.applyFleet({
      fleet: {
        lan: swarm.master.lan,
        driftPolicy,
        deckies: ["a", "b"].map((name) => ({
          name: `${swarm.master.prefix}-${name}`,
          services: [{ slug: "redis" }, { slug: "http" }],
          placement: { where: { case: "host", value: "edge-1" } },
        })),
      },
    });
  const worker = () => swarm.workers[0] ?? expect.fail("there is no worker");
  const repairs = async () =>
    (await swarm.master.operations.listOperations({ filter: "kind=repair", pageSize: 1_000 })).operations.reverse();
  const isWell = async () => {
    const { decky: seen } = await swarm.master.fleet.getDecky({ decky });
    return seen?.state === DeckyState.RUNNING && (await worker().containers(decky.name)).size === 3;
  };
  const redis = () => `${decky.name}-redis`;
  /** What was done to the containers, and how it came to be known; `before` are the repairs that were known before. */
  const expectRepair = async (before: number, cause: string) => {
    const repair = await eventually(async () => (await repairs())[before], repairedMs);
    expect([repair.kind, repair.actor, repair.state]).toEqual([OperationKind.REPAIR, "drift", OperationState.SUCCEEDED]);
    expect(repair.host).toBe("edge-1");
    expect(repair.reason).toContain(cause);
    expect(repair.receipt?.othersUnchanged).toBe(true);
    await eventually(isWell, repairedMs);
    return repair;
  };

  /** Reports on the worker's disk, without the head of the file and what is just being written behind the last line break. */
  const queued = async (): Promise<Record<string, unknown>[]> => {
    const queue = await readFile(join(worker().host.stateDir, "reports", "queue.jsonl"), "utf8");
    return queue
      .split("\n")
      .slice(1, -1)
      .map((line) => JSON.parse(line));
  };
  const queuedRepairs = async () => (await queued()).filter((report) => "repair" in report).length;
  const removeAndAwaitRepair = async (name: string) => {
    const before = (await worker().containers()).get(name);
    await worker().host.docker(["rm", "-f", name]);
    await eventually(async () => {
      const now = (await worker().containers()).get(name);
      return now !== undefined && now !== before && now.endsWith("running");
    }, repairedMs);
  };

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis", "http"] });
    decky = { name: `${swarm.master.prefix}-a` };
    await applyFleet(DriftPolicy.REPAIR);
  });
  afterAll(() => swarm?.dispose());

  it.each([
    ["a container that was removed by hand", ["rm", "-f"], "requested"],
    ["a container that was stopped by hand", ["stop", "-t", "1"], "exited with code"],
  ])("%s is repaired, and known to the master with its cause", async (_, act, cause) => {
    const before = await worker().containers();
    const known = (await repairs()).length;
    await worker().host.docker([...act, redis()]);
    await expectRepair(known, cause);
    const after = await worker().containers();
    for (const [name, facts] of before) if (name !== redis()) expect(after.get(name)).toBe(facts);
  });

  it("a compose file that was edited, and brought up by hand, is written again with the container made from it", async () => {
    const file = join(worker().host.stateDir, "deckies", decky.name, "compose.yaml");
    const ours = await readFile(file, "utf8");
    const made = async () => (await worker().host.docker(["inspect", "--format", '{{join .Config.Env "\\n"}}', redis()])).sort();
    const wanted = await made();
    const known = (await repairs()).length;
    const edited: { services: Record<string, { environment: Record<string, string> }> } = JSON.parse(ours);
    const entry = edited.services[redis()] ?? expect.fail("it is not in the file");
    entry.environment["MAXMEMORY_MB"] = "7";
    // A drift check in the middle of it would meet the container half made, and take it from compose.
    await worker().unseen(async () => {
      await writeFile(file, JSON.stringify(edited));
      await worker().host.run("docker", ["compose", "-f", file, "up", "-d", "--no-deps", redis()], { timeout: 60_000 });
    });
    const cause = "is not what was made here: other environment";
    await eventually(async () => (await repairs()).slice(known).some((repair) => repair.reason.includes(cause)), repairedMs);
    await eventually(isWell, repairedMs);
    expect(await made()).toEqual(wanted);
    expect(await readFile(file, "utf8")).toBe(ours);
  });

  it("is repaired while the master is away, and told in order when it is back, though the agent was killed (W-54)", async () => {
    const { master } = swarm;
    // Not what was repaired so often that it has to wait.
    const other = `${master.prefix}-b`;
    const known = (await repairs()).length;
    await eventually(async () => (await queuedRepairs()) === 0);
    await master.restart(async () => {
      await removeAndAwaitRepair(`${other}-redis`);
      await removeAndAwaitRepair(`${other}-http`);
      await eventually(async () => (await queuedRepairs()) === 2);
      await worker().stop("SIGKILL");
    });
    await worker().start();
    const told = await eventually(async () => {
      const found = (await repairs()).slice(known);
      return found.length >= 2 ? found : undefined;
    }, repairedMs);
    expect(told.map((repair) => repair.plan?.steps.find((step) => step.verb !== "settle")?.service)).toEqual(["redis", "http"]);
    expect(told.every((repair) => repair.state === OperationState.SUCCEEDED)).toBe(true);
    await eventually(isWell, repairedMs);
  });

  it("says how many reports were lost when there were more than its queue holds", async () => {
    const { master } = swarm;
    const holds = 10;
    await worker().stop("SIGTERM");
    await worker().start({ DECNET_REPORT_QUEUE: String(holds) });
    await eventually(isWell, repairedMs);
    await eventually(async () => (await queuedRepairs()) === 0);
    await master.restart(async () => {
      const before = (await queued()).length;
      // A repair is one report; how many observations come with it depends on when the looks fall.
      for (let round = 1; (await queued()).length - before <= holds; round += 1) {
        expect(round).toBeLessThanOrEqual(holds + 1);
        const known = await queuedRepairs();
        await removeAndAwaitRepair(redis());
        await eventually(async () => (await queuedRepairs()) > known, repairedMs);
      }
    });
    const said: string[] = [];
    const request = { patterns: ["host.edge-1.state"], cursor: "0" };
    for await (const { item } of master.events.subscribe(request, { timeoutMs: repairedMs })) {
      if (item.case === "event") said.push(String(item.value.data?.["message"]));
      if (said.some((message) => /^[1-9]\d* reports were lost while it was away$/.test(message))) break;
    }
    await eventually(isWell, repairedMs);
  });

  it("is only said under the policy that wants that, also while nobody is asked", async () => {
    const known = (await repairs()).length;
    await applyFleet(DriftPolicy.REPORT);
    const policy = () => readFile(join(worker().host.stateDir, "drift-policy"), "utf8").catch(() => "");
    await eventually(async () => (await policy()).trim() === "report", soonMs);
    await worker().host.docker(["rm", "-f", redis()]);
    const seen = await eventually(async () => {
      const { decky: found } = await swarm.master.fleet.getDecky({ decky });
      return found?.state === DeckyState.DEGRADED ? found : undefined;
    }, noticedMs);
    expect(seen.message).toContain("redis: there is no container");
    const looks = async () => (await swarm.master.fleet.getDecky({ decky })).decky?.observedAt?.seconds ?? 0n;
    const from = await looks();
    await eventually(async () => (await looks()) > from + 3n);
    expect((await repairs()).length).toBe(known);
    await applyFleet(DriftPolicy.REPAIR);
    await eventually(isWell, repairedMs);
  });

  it("on a quiet system makes no operation and no report", async () => {
    await eventually(isWell, repairedMs);
    await eventually(async () => (await queuedRepairs()) === 0);
    const state = async () => ({
      operations: (await swarm.master.operations.listOperations({ pageSize: 1_000 })).operations.length,
      last: (await readFile(join(worker().host.stateDir, "reports", "queue.jsonl"), "utf8")).split("\n")[0],
    });
    const before = await state();
    const looks = async () => (await swarm.master.fleet.getDecky({ decky })).decky?.observedAt?.seconds ?? 0n;
    const from = await looks();
    await eventually(async () => (await looks()) > from + 5n, 30_000);
    expect(await state()).toEqual(before);
  });
});
