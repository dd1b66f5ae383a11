import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationKind } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";

describe("drift", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis", "ssh"], b: ["redis"] });
  });

  const repairs = async () => (await master.operations.listOperations({ filter: `decky=${decky.name},kind=repair` })).operations;
  const isWell = async () => {
    const { decky: seen } = await master.fleet.getDecky({ decky });
    const sockets = await inside(decky.name, "redis-cli", ["ping"]).catch(() => ({ stdout: "the base is away" }));
    return seen?.state === DeckyState.RUNNING && sockets.stdout === "PONG";
  };
  const identity = async () => {
    const [address = ""] = await dockerLines([
      "inspect",
      "--format",
      "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}",
      decky.name,
    ]);
    return `${address} ${(await inside(decky.name, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout}`;
  };

  it.each([
    ["a service that was stopped by hand", ["stop", "-t", "1"], "-redis", "exited"],
    ["a service that was removed by hand", ["rm", "-f"], "-redis", "requested"],
    ["a base that was stopped by hand", ["stop", "-t", "1"], "", "base is exited"],
    [
      "a base that was restarted by hand: its services sit in a dead namespace",
      ["restart", "-t", "1"],
      "",
      "detached from the base",
    ],
    ["a base that was removed by hand", ["rm", "-f"], "", "base is absent"],
  ])("%s is noticed with its cause and repaired, with the same identity", async (_, act, suffix, cause) => {
    const before = await identity();
    const others = await containersOf(`${master.prefix}-b`);
    const known = new Set((await repairs()).map((operation) => operation.id));
    await execa("docker", [...act, `${decky.name}${suffix}`]);
    const repair = await eventually(async () => (await repairs()).find((operation) => !known.has(operation.id)), 10_000);
    expect(repair.kind).toBe(OperationKind.REPAIR);
    expect(repair.plan?.text).toContain(cause);
    await eventually(isWell, 30_000);
    expect(await identity()).toBe(before);
    expect(await containersOf(`${master.prefix}-b`)).toEqual(others);
  });

  it("on a quiet system there are no operations at all", async () => {
    await eventually(isWell);
    const before = (await master.operations.listOperations({ pageSize: 1000 })).operations.length;
    const seenAt = async () => (await master.fleet.getDecky({ decky })).decky?.observedAt?.seconds ?? 0n;
    const from = await seenAt();
    await eventually(async () => (await seenAt()) > from + 3n, 15_000);
    expect((await master.operations.listOperations({ pageSize: 1000 })).operations.length).toBe(before);
  });

  it("is said and left alone when the fleet wants that", async () => {
    await master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        driftPolicy: 2,
        deckies: ["a", "b"].map((name) => ({
          name: `${master.prefix}-${name}`,
          services: [{ slug: "redis" }, ...(name === "a" ? [{ slug: "ssh" }] : [])],
        })),
      },
    });
    const known = (await repairs()).length;
    await execa("docker", ["rm", "-f", `${decky.name}-redis`]);
    const seen = await eventually(async () => {
      const found = (await master.fleet.getDecky({ decky })).decky;
      return found?.state === DeckyState.DEGRADED ? found : undefined;
    }, 10_000);
    expect(seen.message).toContain("redis: there is no container");
    expect((await repairs()).length).toBe(known);
    // The next change of the decky makes everything as wanted.
    await master.mutations.addService({ decky, service: "http" });
    await eventually(isWell);
  });
});
