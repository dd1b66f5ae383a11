import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { placeDatabase } from "../support/ready-database.ts";
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
import { type Lives, useLives } from "../support/use-lives.ts";
import { containersOf, dockerLines, eventually, type Place, usePlace } from "../support/use-master.ts";

const killedAfter = Number(process.env["DECNET_KILLED_AFTER"] ?? "5");
/** Each boundary of an act takes a life of its own. */
const timeout = killedAfter === 1 ? 900_000 : 120_000;

/**
 * Every life of the master ends with SIGKILL: before the first step of an act, and then after so many steps more, until the act
 * is over; the next life goes on from there. After one step each, so each boundary of each act is met once.
 */
describe(`a topology whose master is killed before the first step, and after each ${killedAfter} more`, () => {
  let place: Place;
  let lives: Lives;
  let topology: string;
  let id = "";
  const tally = tallyKills("here, master", killedAfter);
  /** An address of this host that is there for this test alone. */
  const publishOn = `198.18.${1 + (process.pid % 250)}.7`;
  const networks = async () =>
    (await dockerLines(["network", "ls", "--format", "{{.Name}}", "--filter", `name=^decnet-${id}-`])).sort();
  const published = async () => (await execa("nft", ["list", "ruleset", "ip"])).stdout.includes(publishOn);
  const passes = async () => (await execa("iptables", ["-S", "DOCKER-USER"], { reject: false })).stdout.includes(publishOn);
  /** What a failed test left; it could keep nobody from anything, and would be there for ever. */
  const removePublished = async () => {
    const tables = (await execa("nft", ["list", "ruleset", "ip"])).stdout.split(/^(?=table )/m);
    // The engine's own table names it as well.
    const own = tables.filter((each) => each.startsWith("table ip decnet-published-") && each.includes(publishOn));
    for (const table of own) await execa("nft", ["delete", "table", "ip", table.split(" ")[2] ?? ""]);
    const rules = (await execa("iptables", ["-S", "DOCKER-USER"], { reject: false })).stdout.split("\n");
    for (const rule of rules.filter((each) => each.includes(publishOn)))
      await execa("iptables", rule.replace(/^-A/, "-D").split(" "));
  };

  beforeAll(async () => {
    place = await usePlace();
    await placeDatabase(place.dataDir);
    await execa("ip", ["addr", "add", `${publishOn}/32`, "dev", "lo"]);
    lives = useLives(place);
    topology = `${place.prefix}-corp`;
    const life = (await lives.begin()) ?? expect.fail("no life");
    id = await designTopology(life.topologies, topology, { host: "local", publishOn });
    await life.end("SIGTERM");
  });
  afterAll(async () => {
    await lives?.dispose();
    const left = await dockerLines(["ps", "-aq", "--filter", `name=^/${id}-`]);
    if (left.length > 0) await execa("docker", ["rm", "-f", ...left]);
    for (const name of await networks()) await execa("docker", ["network", "rm", name], { reject: false });
    await removePublished();
    await execa("ip", ["addr", "del", `${publishOn}/32`, "dev", "lo"], { reject: false });
    await place?.dispose();
    tally.tell();
  });

  it.each(actsKilledAfter(killedAfter))(
    "ends $name, with nothing lost and nothing left over (W-38)",
    { timeout },
    async (step) => {
      const isCancelled = step.takenBack === "cancelled";
      // What is cancelled has to run for that: the first life ends with the answer.
      const first = (await lives.begin(isCancelled ? undefined : 0)) ?? expect.fail("no life");
      let operationId: string | undefined;
      /** Killed before it has answered, a master is asked again in its next life: the same request is the same operation. */
      const ask = async ({ topologies }: typeof first) => {
        operationId ??= (await step.act(topologies, topology, step.name).catch(() => undefined))?.operation?.id;
        return operationId;
      };
      const hasEnded = async (life: typeof first) => {
        const id = await ask(life);
        const found =
          id === undefined ? undefined : (await life.operations.getOperation({ id }).catch(() => undefined))?.operation;
        return found !== undefined && found.state >= OperationState.SUCCEEDED ? found : undefined;
      };
      const outcomeOf = (life: typeof first) =>
        Promise.race([life.ended, eventually(() => hasEnded(life), 60_000).catch(() => undefined)]);
      if (isCancelled) {
        await first.operations.cancelOperation({ id: (await ask(first)) ?? expect.fail("no operation") });
        await first.end("SIGKILL");
      }
      let ended = await outcomeOf(first);
      let last = first;
      for (let life = 1; ended === undefined; life += 1) {
        expect(life).toBeLessThan(mostLives);
        tally.count(step.name);
        const next = await lives.begin(killedAfter, { whenEnded: killedAfter === 1 && step.takenBack !== undefined });
        if (next === undefined) continue;
        last = next;
        ended = await outcomeOf(next);
      }
      expectEnd(step, ended);
      const isGone = Object.keys(step.there).length === 0;
      expectDesign(
        step,
        await eventually(async () => {
          const { topology: found } = await last.topologies.getTopology({ topology });
          return found?.state === (isGone ? TopologyState.TORN_DOWN : TopologyState.ACTIVE) ? found : undefined;
        }),
      );
      const containers = await containersOf(`${id}-`);
      expect([...containers.keys()].sort()).toEqual(containersThen(step, id));
      for (const [name, facts] of containers) expect(facts, name).toMatch(/running$/);
      expect(await placesOf(step, id, (...args) => dockerLines(args))).toEqual(step.there);
      expect(await networks()).toEqual(networksThen(step, id));
      expect([await published(), await passes()]).toEqual([!isGone, !isGone]);
    },
  );
});
