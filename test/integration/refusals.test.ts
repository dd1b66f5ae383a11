import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { fromConnectError } from "@decnet/common/rpc/errors";
import type { PlacementSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a refused change", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DRIFT_INTERVAL_MS: "600000" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });

  /** Everything that a refused change could have left behind. */
  const world = async () => ({
    containers: await containersOf(master.prefix),
    files: (await execa("find", [`${master.config.dataDir}/deckies`, "-printf", "%p %s %T@\n"])).stdout.split("\n").sort(),
    decky: (await master.fleet.getDecky({ decky })).decky?.desiredRevision,
    operations: (await master.operations.listOperations({ pageSize: 1000 })).operations.length,
  });

  const place = (m: TestMaster, { name }: { name: string }, placement: MessageInitShape<typeof PlacementSchema>) =>
    m.fleet.applyFleet({ fleet: { lan: m.lan, deckies: [{ name, services: [{ slug: "redis" }], placement }] } });

  const cases: [string, Code, (m: TestMaster, decky: { name: string }) => Promise<unknown>][] = [
    [
      "CONFIG_INVALID",
      Code.InvalidArgument,
      (m, d) => m.mutations.addService({ decky: d, service: "http", config: { response_code: "many" } }),
    ],
    ["SERVICE_UNKNOWN", Code.InvalidArgument, (m, d) => m.mutations.addService({ decky: d, service: "gopher" })],
    ["SERVICE_IS_SINGLETON", Code.FailedPrecondition, (m, d) => m.mutations.addService({ decky: d, service: "sniffer" })],
    ["DECKY_NOT_FOUND", Code.NotFound, (m) => m.mutations.addService({ decky: { name: "nobody" }, service: "http" })],
    [
      "TOPOLOGY_NOT_FOUND",
      Code.NotFound,
      (m, d) => m.mutations.addService({ decky: { ...d, topologyId: "corp" }, service: "http" }),
    ],
    ["SERVICE_ALREADY_PRESENT", Code.AlreadyExists, (m, d) => m.mutations.addService({ decky: d, service: "redis" })],
    ["SERVICE_NOT_PRESENT", Code.FailedPrecondition, (m, d) => m.mutations.removeService({ decky: d, service: "http" })],
    [
      "REVISION_CONFLICT",
      Code.Aborted,
      (m, d) => m.mutations.addService({ decky: d, service: "http", options: { expectedRevision: 77 } }),
    ],
    [
      "PLAN_CHANGED",
      Code.Aborted,
      (m, d) =>
        m.mutations.addService({ decky: d, service: "http", options: { expectedPlan: "00000000000000000000000000000000" } }),
    ],
    ["REQUEST_INVALID", Code.InvalidArgument, (m) => m.mutations.addService({ decky: { name: "../../etc" }, service: "http" })],
    ["REVISION_NOT_FOUND", Code.NotFound, (m, d) => m.fleet.restoreRevision({ decky: d, revision: 900 })],
    [
      "SERVICE_NOT_PRESENT",
      Code.FailedPrecondition,
      (m, d) => m.fleet.restoreRevision({ decky: d, revision: 1, service: "ftp" }),
    ],
    ["OPERATION_NOT_FOUND", Code.NotFound, (m) => m.operations.getOperation({ id: "op-none" })],
    [
      "FLEET_INVALID",
      Code.InvalidArgument,
      (m) => m.fleet.applyFleet({ fleet: { lan: m.lan, deckies: [{ name: "UPPER", services: [{ slug: "http" }] }] } }),
    ],
    ["HOST_NOT_FOUND", Code.NotFound, (m) => m.swarm.getHost({ name: "nowhere" })],
    ["HOST_NOT_FOUND", Code.NotFound, (m) => m.swarm.drainHost({ name: "nowhere" })],
    ["HOST_NOT_FOUND", Code.NotFound, (m) => m.swarm.activateHost({ name: "nowhere" })],
    ["HOST_NOT_FOUND", Code.NotFound, (m) => m.swarm.decommissionHost({ name: "nowhere", force: true })],
    ["HOST_NOT_FOUND", Code.NotFound, (m, d) => place(m, d, { where: { case: "host", value: "nowhere" } })],
    ["NO_HOST_FITS", Code.FailedPrecondition, (m, d) => place(m, d, { where: { case: "balanced", value: true } })],
    [
      "NO_HOST_FITS",
      Code.FailedPrecondition,
      (m, d) => place(m, d, { where: { case: "labels", value: { labels: { zone: "a" } } } }),
    ],
    ["SWARM_OFF", Code.FailedPrecondition, (m) => m.swarm.createJoinToken({ hostName: "edge-1" })],
    ["TOKEN_NOT_FOUND", Code.NotFound, (m) => m.swarm.revokeJoinToken({ id: "jt-none" })],
    ["REQUEST_INVALID", Code.InvalidArgument, (m) => m.swarm.createJoinToken({ hostName: "local" })],
    ["REQUEST_INVALID", Code.InvalidArgument, (m) => m.swarm.createJoinToken({ hostName: "edge-1", ttl: { seconds: 1n } })],
    ["REQUEST_INVALID", Code.InvalidArgument, (m) => m.swarm.createJoinToken({ hostName: "edge-1", masters: ["no port"] })],
  ];

  it.each(cases)("%s leaves nothing behind, anywhere", async (reason, code, act) => {
    const before = await world();
    const failure: unknown = await act(master, decky).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(fromConnectError(failure).reason).toBe(reason);
    expect(ConnectError.from(failure).code).toBe(code);
    expect(await world()).toEqual(before);
  });

  it("names every bad field", async () => {
    const failure: unknown = await master.mutations
      .addService({ decky, service: "http", config: { response_code: 9, fake_app: "doom" } })
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(fromConnectError(failure).violations.map((violation) => violation.field)).toEqual([
      "config.response_code",
      "config.fake_app",
    ]);
  });

  it("a port that another service of the decky has is refused (W-29)", async () => {
    const twice: unknown = await master.fleet
      .applyFleet({
        fleet: { lan: master.lan, deckies: [{ name: `${master.prefix}-b`, services: [{ slug: "http" }, { slug: "http" }] }] },
      })
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(fromConnectError(twice).reason).toBe("FLEET_INVALID");
  });

  it("a call without a valid token, or with a role that is too low, is refused", async () => {
    const url = `http://127.0.0.1:${master.port}/decnet.v1.MutationService/AddService`;
    const post = (headers: Record<string, string>) =>
      fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ decky, service: "http" }),
      });
    expect((await post({})).status).toBe(401);
    expect((await post({ authorization: "Bearer wrong" })).status).toBe(401);
    const { secret, token } = await master.access.createToken({ name: "reader", role: 1 });
    expect((await post({ authorization: `Bearer ${secret}` })).status).toBe(403);
    await master.access.revokeToken({ id: token?.id ?? "" });
    expect((await post({ authorization: `Bearer ${secret}` })).status).toBe(401);
    const { entries } = await master.access.listAudit({ filter: "outcome=NOT_ALLOWED" });
    expect(entries.map((entry) => [entry.actor, entry.target])).toEqual([["reader", `${decky.name}/http`]]);
  });
});
