import { once } from "node:events";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  actsKilledAfter,
  containersThen,
  designTopology,
  expectDesign,
  expectEnd,
  mostLives,
  networksThen,
  placesOf,
  tallyKills,
} from "../support/topology-acts.ts";
import { type Site, useWorkerHost } from "../support/topology-sites.ts";
import { eventually } from "../support/use-master.ts";

const againMs = 60_000;

const killedAfter = Number(process.env["DECNET_KILLED_AFTER"] ?? "5");
/** Each boundary of an act takes a life of its own. */
const timeout = killedAfter === 1 ? 900_000 : 120_000;

/** As topology-crashes.test.ts, with the agent in the master's place. */
describe(`a topology whose agent is killed before the first step, and after each ${killedAfter} more`, () => {
  let site: Site;
  let topology: string;
  let id = "";
  const tally = tallyKills("worker, agent", killedAfter);
  const worker = () => site.swarm?.workers[0] ?? expect.fail("no worker");
  const networks = async () =>
    (await site.docker("network", "ls", "--format", "{{.Name}}", "--filter", `name=^decnet-${id}-`)).sort();
  const rules = async () => (await site.run("nft", "list", "ruleset")).includes(site.publishOn);
  const hasEnded = async (operationId: string) => {
    const { operation } = await site.master.operations.getOperation({ id: operationId });
    return operation !== undefined && operation.state >= OperationState.SUCCEEDED ? operation : undefined;
  };

  beforeAll(async () => {
    site = await useWorkerHost({ slugs: ["redis", "quits"] });
    topology = `${site.master.prefix}-corp`;
    id = await designTopology(site.master.topologies, topology, site);
  });
  afterAll(async () => {
    await site?.dispose();
    tally.tell();
  });

  it.each(actsKilledAfter(killedAfter))(
    "ends $name, with nothing lost and nothing left over (W-38)",
    { timeout },
    async (step) => {
      await worker().stop("SIGTERM");
      const isCancelled = step.takenBack === "cancelled";
      // What is cancelled has to run for that: the first life ends with the answer.
      const first = await worker().start(isCancelled ? {} : { CRASH_AFTER: "0" });
      let exit = once(first, "exit");
      const { operation } = await step.act(site.master.topologies, topology, step.name);
      const operationId = operation?.id ?? expect.fail("no operation");
      if (isCancelled) {
        await site.master.operations.cancelOperation({ id: operationId });
        await worker().stop("SIGKILL");
      }
      const outcome = () => Promise.race([exit.then(() => undefined), eventually(() => hasEnded(operationId), againMs)]);
      let ended = await outcome();
      for (let life = 1; ended === undefined; life += 1) {
        expect(life).toBeLessThan(mostLives);
        tally.count(step.name);
        const next = await worker().start({ CRASH_AFTER: String(killedAfter) });
        exit = next.exitCode === null && next.signalCode === null ? once(next, "exit") : Promise.resolve([]);
        ended = await outcome();
      }
      await worker().stop("SIGKILL");
      await worker().start();
      expectEnd(step, ended);
      const isGone = Object.keys(step.there).length === 0;
      expectDesign(
        step,
        await eventually(async () => {
          const { topology: found } = await site.master.topologies.getTopology({ topology });
          return found?.state === (isGone ? TopologyState.TORN_DOWN : TopologyState.ACTIVE) ? found : undefined;
        }, againMs),
      );
      const containers = await site.containers(`${id}-`);
      expect([...containers.keys()].sort()).toEqual(containersThen(step, id));
      for (const [name, facts] of containers) expect(facts, name).toMatch(/running$/);
      expect(await placesOf(step, id, site.docker)).toEqual(step.there);
      expect(await networks()).toEqual(networksThen(step, id));
      expect(await rules()).toBe(!isGone);
    },
  );
});
