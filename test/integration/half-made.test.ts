import { join } from "node:path";
import { type Engine, openEngine } from "@decnet/engine/engine";
import type { StepEvent } from "@decnet/engine/execute/execute-plan";
import type { DeckySpec } from "@decnet/engine/spec";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compose, engineOptions, specIn } from "../support/conformance.ts";
import { containersOf, dockerLines, type Place, usePlace } from "../support/use-master.ts";

const rounds = [1, 2, 3, 4, 5];

/**
 * A compose that is killed in the middle of a recreate leaves the new container under a name of compose's own, and the engine
 * may be that slow that it is there only after the next life of the daemon has made its plan.
 */
describe("a container that a killed compose left half made, after the plan was made", () => {
  let place: Place;
  let engine: Engine;
  let revision = 1;
  const redis = (maxmemory: number): DeckySpec => ({
    ...specIn(place, [{ slug: "redis", config: { maxmemory_mb: maxmemory } }]),
    revision,
  });
  const apply = (spec: DeckySpec, onStep: (event: StepEvent) => Promise<void> | void) =>
    engine.apply(
      { kind: "present", spec },
      { expectedDigest: "", onPlan: () => undefined, onStep, signal: AbortSignal.timeout(60_000) },
    );
  /** As compose leaves it: the same image and labels, and not started. */
  const leaveHalfMade = async (name: string) => {
    const [inspected = "[]"] = [(await execa("docker", ["inspect", name])).stdout];
    const [{ Id: id, Config: config }] = JSON.parse(inspected) as [
      { Id: string; Config: { Image: string; Labels: Record<string, string> } },
    ];
    const labels = Object.entries(config.Labels).flatMap(([key, value]) => ["--label", `${key}=${value}`]);
    await execa("docker", ["create", "--name", `${id.slice(0, 12)}_${name}`, ...labels, config.Image, "true"]);
  };

  beforeAll(async () => {
    place = await usePlace();
    engine = await openEngine(await engineOptions(place));
    expect((await apply(redis(16), () => undefined)).failure).toBeUndefined();
  });
  afterAll(() => place.dispose());

  it.each(rounds)("is taken as it is, made at the same moment (%i)", async () => {
    const name = `${place.prefix}-a-redis`;
    const file = join(place.dataDir, "deckies", `${place.prefix}-a`, "compose.yaml");
    await execa("docker", ["rm", "-f", name]);
    let other: ReturnType<typeof compose> | undefined;
    const { failure, judged } = await apply(redis(16), ({ kind, step }) => {
      if (kind === "started" && step.verb === "create")
        other = compose(place, ["-f", file, "up", "--no-start", "--no-deps", name]);
    });
    expect(other).toBeDefined();
    await other;
    expect([failure?.message, failure?.outputTail, judged?.state]).toEqual([undefined, undefined, "running"]);
    expect([...(await containersOf(place.prefix)).keys()].sort()).toEqual([`${place.prefix}-a`, name]);
  });

  it.each(rounds)("is in nobody's way (%i)", async (at) => {
    revision += 1;
    const name = `${place.prefix}-a-redis`;
    let left = 0;
    const { failure, judged } = await apply(redis(32 + at), async ({ kind, step }) => {
      if (kind !== "started" || step.verb !== "recreate") return;
      await leaveHalfMade(name);
      left += 1;
    });
    expect(left).toBe(1);
    expect([failure?.message, failure?.outputTail, judged?.state]).toEqual([undefined, undefined, "running"]);
    expect([...(await containersOf(place.prefix)).keys()].sort()).toEqual([`${place.prefix}-a`, name]);
    expect(await dockerLines(["ps", "-aq", "--filter", `name=_${name}$`])).toEqual([]);
  });
});
