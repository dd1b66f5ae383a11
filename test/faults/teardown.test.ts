import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a decky that is torn down", () => {
  let master: TestMaster;
  let decky: { name: string };
  let other: { name: string };

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    other = { name: `${master.prefix}-b` };
    await deploy(master, { a: ["ssh", "redis"], b: ["redis"] });
  });
  afterAll(() => master.dispose());

  const volumes = () => dockerLines(["volume", "ls", "-q", "--filter", `name=decnet_${decky.name}_`]);
  const isListed = async () => (await master.fleet.listDeckies({ filter: `name=${decky.name}` })).deckies.length > 0;
  /** Two looks at the host, begun and ended after now. */
  const looked = async () => {
    const seenAt = async () => (await master.fleet.getDecky({ decky: other })).decky?.observedAt;
    for (let look = 0; look < 2; look += 1) {
      const before = await seenAt();
      await eventually(async () => {
        const now = await seenAt();
        return now !== undefined && (now.seconds !== before?.seconds || now.nanos !== before.nanos);
      });
    }
  };

  it("leaves nothing, frees its name and address, and does not come back (W-59)", async () => {
    const { decky: before } = await master.fleet.getDecky({ decky });
    const address = before?.addresses[0]?.ip ?? "";
    const key = (await inside(decky.name, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout;
    expect(await volumes()).not.toEqual([]);
    const neighbours = await containersOf(other.name);
    const { operation } = await master.fleet.teardownDecky({ decky });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    const isGone = async () => {
      expect([...(await containersOf(decky.name)).keys()]).toEqual([]);
      expect(await volumes()).toEqual([]);
      expect(await readdir(join(master.config.dataDir, "deckies"))).toEqual([other.name]);
      expect(await isListed()).toBe(false);
    };
    await isGone();
    await looked();
    await isGone();
    await master.restart();
    await looked();
    await isGone();
    expect(await containersOf(other.name)).toEqual(neighbours);
    // Another decky may have the address now, and a decky of that name is a new one.
    const wanted = [
      { name: other.name, services: [{ slug: "redis" }] },
      { name: `${master.prefix}-c`, services: [{ slug: "redis" }], ip: address },
      { name: decky.name, services: [{ slug: "ssh" }] },
    ];
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies: wanted } });
    const { decky: again } = await master.fleet.getDecky({ decky });
    expect(again?.state).toBe(DeckyState.RUNNING);
    expect(again?.desiredRevision).toBe(1);
    expect(again?.addresses[0]?.ip).not.toBe(address);
    const newKey = (await inside(decky.name, "ssh-keyscan", ["-t", "ed25519", "127.0.0.1"])).stdout;
    expect(newKey).toContain("ssh-ed25519");
    expect(newKey).not.toBe(key);
    expect(await containersOf(other.name)).toEqual(neighbours);
  });
});
