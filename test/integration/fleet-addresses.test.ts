import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestMaster, useMaster } from "../support/use-master.ts";

describe("the addresses of a fleet", () => {
  let master: TestMaster;
  const apply = (deckies: { name: string; ip?: string }[]) =>
    master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: deckies.map(({ name, ip = "" }) => ({ name: `${master.prefix}-${name}`, ip, services: [{ slug: "redis" }] })),
      },
    });

  beforeAll(async () => {
    master = await useMaster();
    await apply([{ name: "a" }, { name: "b" }]);
  });
  afterAll(() => master.dispose());

  it("stay with a decky until it is gone, so that one may go and another come in one change", async () => {
    const { operation } = await apply([{ name: "b" }, { name: "c" }, { name: "d" }]);
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    const { deckies } = await master.fleet.listDeckies({});
    const addresses = deckies.map((decky) => decky.addresses[0]?.ip);
    expect(new Set(addresses).size).toBe(3);
    expect(addresses).not.toContain(undefined);
  });

  it("cannot be asked for while another decky has them", async () => {
    const { decky } = await master.fleet.getDecky({ decky: { name: `${master.prefix}-b` } });
    const failure: unknown = await apply([{ name: "c" }, { name: "d" }, { name: "e", ip: decky?.addresses[0]?.ip ?? "" }]).catch(
      (error: unknown) => error,
    );
    expect(fromConnectError(failure).reason).toBe("FLEET_INVALID");
    expect((await master.fleet.listDeckies({})).deckies.length).toBe(3);
  });
});
