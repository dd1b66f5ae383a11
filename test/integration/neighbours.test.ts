import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { useEngineEvents } from "../support/engine-events.ts";
import { holdSession } from "../support/hold-session.ts";
import { containersOf, deploy, type TestMaster, useMaster } from "../support/use-master.ts";

const mutations = 200;
const slugs = ["http", "ftp", "telnet", "redis"];

/** Repeatable numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

describe("a mutation", () => {
  let master: TestMaster;
  const names = ["a", "b", "c", "d", "e"];

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    await deploy(master, Object.fromEntries(names.map((name) => [name, ["ssh", "redis"]])));
  });

  it(`touches what its plan names and nothing else, ${mutations} times over`, { timeout: 600_000 }, async () => {
    // A session to each decky's ssh stays open all the time; no mutation here names ssh.
    const sessions = await Promise.all(names.map((name) => holdSession(`${master.prefix}-${name}`)));
    const events = await useEngineEvents(master.prefix);
    onTestFinished(() => events.dispose());
    const random = seeded(7);
    const present = new Map(names.map((name) => [name, new Set(["redis"])]));
    let before = await containersOf(master.prefix);
    for (let index = 0; index < mutations; index += 1) {
      const name = names[Math.floor(random() * names.length)] ?? "a";
      const service = slugs[Math.floor(random() * slugs.length)] ?? "http";
      const has = present.get(name) ?? new Set();
      const decky = { name: `${master.prefix}-${name}` };
      const { operation } = has.has(service)
        ? await master.mutations.removeService({ decky, service })
        : await master.mutations.addService({ decky, service });
      const removed = has.delete(service);
      if (!removed) has.add(service);
      expect(operation?.state).toBe(OperationState.SUCCEEDED);
      expect(operation?.receipt?.othersUnchanged).toBe(true);
      const after = await containersOf(master.prefix);
      const planned = `${decky.name}-${service}`;
      for (const [container, facts] of before) if (container !== planned) expect(after.get(container)).toBe(facts);
      for (const container of after.keys()) if (container !== planned) expect(before.has(container)).toBe(true);
      expect(after.has(planned)).toBe(has.has(service));
      // The engine's own log of all containers of the fleet: what this one went through, and not a word about another one.
      const logged = await events.until(`${removed ? "destroy" : "start"} ${planned}`);
      const expected = removed ? ["die", "stop", "destroy"] : ["create", "start"];
      expect(logged.filter((line) => line !== `kill ${planned}`).sort()).toEqual(
        expected.map((act) => `${act} ${planned}`).sort(),
      );
      before = after;
    }
    expect(await events.sofar()).toEqual([]);
    for (const session of sessions) {
      expect(session.isOpen()).toBe(true);
      session.close();
    }
  });
});
