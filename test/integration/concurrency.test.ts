import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("many changes at the same time", () => {
  let master: TestMaster;
  const present = { a: ["redis"], b: ["redis"], c: ["redis"], d: ["redis"], e: ["redis"] };
  const ref = (name: string) => ({ name: `${master.prefix}-${name}` });
  const servicesOf = async (name: string) =>
    (await master.fleet.getDecky({ decky: ref(name) })).decky?.services.map((service) => service.slug) ?? [];
  const containerSlugs = async (name: string) => {
    const base = ref(name).name;
    return [...(await containersOf(base)).keys()]
      .filter((each) => each !== base)
      .map((each) => each.slice(base.length + 1))
      .sort();
  };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    await deploy(master, present);
  });

  it("of one decky give what some serial order gives, and lose nothing (W-08)", async () => {
    const slugs = ["http", "ftp", "telnet"];
    const calls = Array.from({ length: 50 }, (_, index) => {
      const service = slugs[index % 3] ?? "http";
      const request = { decky: ref("a"), service };
      return index % 2 === 0 ? master.mutations.addService(request) : master.mutations.removeService(request);
    });
    const results = await Promise.allSettled(calls);
    const reasons = results.flatMap((result) => (result.status === "rejected" ? [fromConnectError(result.reason).reason] : []));
    const expected = ["SERVICE_ALREADY_PRESENT", "SERVICE_NOT_PRESENT"];
    expect(reasons.filter((reason) => !expected.includes(reason))).toEqual([]);
    expect(results.some((result) => result.status === "fulfilled")).toBe(true);
    // The revisions are the serial order: one for each accepted change, and each adds or removes one service of the one before.
    const { revisions } = await master.fleet.listRevisions({ decky: ref("a"), pageSize: 1000 });
    const accepted = results.filter((result) => result.status === "fulfilled").length;
    expect(revisions.length).toBe(1 + accepted);
    const lists = revisions.map((revision) => revision.services).reverse();
    for (const [index, list] of lists.slice(1).entries()) {
      const before = lists[index] ?? [];
      const [longer, shorter] = list.length > before.length ? [list, before] : [before, list];
      expect(longer.length).toBe(shorter.length + 1);
      expect(longer.filter((service) => shorter.includes(service))).toEqual(shorter);
    }
    const final = await servicesOf("a");
    expect(final).toEqual(revisions[0]?.services);
    expect(await containerSlugs("a")).toEqual([...final].sort());
    const { decky } = await master.fleet.getDecky({ decky: ref("a") });
    expect(decky?.appliedRevision).toBe(decky?.desiredRevision);
  });

  it("of ten deckies, fifty at a time, all arrive and nothing else does", async () => {
    const names = Array.from({ length: 10 }, (_, index) => `t${index}`);
    await deploy(master, { ...present, ...Object.fromEntries(names.map((name) => [name, ["redis", "telnet"]])) });
    const changes = names.flatMap((name) => [
      master.mutations.addService({ decky: ref(name), service: "http" }),
      master.mutations.removeService({ decky: ref(name), service: "telnet" }),
      master.mutations.addService({ decky: ref(name), service: "ftp" }),
      master.mutations.updateServiceConfig({ decky: ref(name), service: "redis", config: { maxmemory_mb: 32 }, apply: true }),
      master.mutations.addService({ decky: ref(name), service: "ssh" }),
    ]);
    await Promise.all(changes);
    for (const name of names) {
      expect((await servicesOf(name)).sort()).toEqual(["ftp", "http", "redis", "ssh"]);
      expect(await containerSlugs(name)).toEqual(["ftp", "http", "redis", "ssh"]);
      const { decky } = await master.fleet.getDecky({ decky: ref(name) });
      expect(decky?.appliedRevision).toBe(decky?.desiredRevision);
    }
    await deploy(master, present);
  });

  it("of several deckies run side by side and all arrive", async () => {
    const names = ["b", "c", "d", "e"];
    await Promise.all(
      names.flatMap((name) => ["http", "ftp"].map((service) => master.mutations.addService({ decky: ref(name), service }))),
    );
    for (const name of names) expect((await containerSlugs(name)).sort()).toEqual(["ftp", "http", "redis"]);
  });

  it("with one request id are one operation (W-56)", async () => {
    const request = { decky: ref("b"), service: "telnet", options: { requestId: "same" } };
    const answers = await Promise.all([1, 2, 3, 4].map(() => master.mutations.addService(request)));
    expect(new Set(answers.map((answer) => answer.operation?.id)).size).toBe(1);
    const other: unknown = await master.mutations.removeService({ ...request, service: "ftp" }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(fromConnectError(other).reason).toBe("REQUEST_ID_REUSED");
  });

  it("a dry run answers the plan, changes nothing, and the plan can be held to (W-56)", async () => {
    const before = await containersOf(ref("c").name);
    const request = { decky: ref("c"), service: "http" };
    const { operation: dry } = await master.mutations.removeService({ ...request, options: { dryRun: true } });
    expect(dry?.plan?.steps.map((step) => `${step.verb} ${step.target}`)).toEqual([
      `write-project decnet-${ref("c").name}`,
      `stop ${ref("c").name}-http`,
      `remove ${ref("c").name}-http`,
    ]);
    expect(await containersOf(ref("c").name)).toEqual(before);
    const done = await master.mutations.removeService({ ...request, options: { expectedPlan: dry?.plan?.digest ?? "" } });
    expect(done.operation?.state).toBe(OperationState.SUCCEEDED);
    const again: unknown = await master.mutations
      .addService({ ...request, options: { expectedPlan: dry?.plan?.digest ?? "" } })
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(fromConnectError(again).reason).toBe("PLAN_CHANGED");
  });
});
