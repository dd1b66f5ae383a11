import { MovePolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { useStage } from "./support/record.ts";
import { keep, later, refuse } from "./support/situation.ts";

/** Changes of a whole fleet: its parts, its plan, and how it ends. */
const record = useStage(["edge-1", "edge-2"]);

record("a fleet is deployed", async (s) => {
  await s.apply({ web: { services: { ssh: { password: "first" } } }, db: { services: ["redis"] } }, { reason: "new site" });
});

record("a fleet is deployed on a worker", async (s) => {
  await s.apply({ web: { services: ["redis"], host: "edge-1" } });
});

record("a fleet changes redeploys tears down deploys and keeps", async (s) => {
  await s.deploy({
    changed: { services: { redis: { maxmemory_mb: 32 } } },
    kept: { services: ["redis"] },
    leaves: { services: ["redis"] },
    renamed: { services: ["redis"], hostname: "front" },
  });
  await s.apply({
    changed: { services: { redis: { maxmemory_mb: 48 }, http: {} } },
    kept: { services: ["redis"] },
    fresh: { services: ["ftp"] },
    renamed: { services: ["redis"], hostname: "back" },
  });
});

record("a fleet moves a decky to a worker", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.apply({ web: { services: ["redis"], host: "edge-1" } });
});

record("a fleet moves a decky from one worker to another with other services", async (s) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  await s.apply({ web: { services: ["redis", "http"], host: "edge-2" } });
});

record("a fleet moves a decky and keeps the old one until the new one runs", async (s) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, later, { moves: MovePolicy.KEEP_OLD });
  await s.untilEnded(move);
});

record("a fleet is the same already", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.apply({ web: { services: ["redis"] } }, { reason: "to be sure" });
});

record("a fleet keeps secrets that its file does not name", async (s) => {
  await s.deploy({ web: { services: { ssh: { password: "first" }, http: {} } } });
  await s.apply({ web: { services: { ssh: { user: "maria" } } } });
});

record("a fleet is planned and applied with that plan", async (s) => {
  const wanted = { web: { services: ["redis"] }, db: { services: ["redis"], host: "edge-1" } };
  const expectedPlan = await s.plan("the fleet", (options) => s.apply(wanted, options));
  await s.apply(wanted, { expectedPlan });
});

record("a fleet carries a plan that is not right any more", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  const wanted = { web: { services: ["redis", "http"] } };
  const expectedPlan = await s.plan("the fleet", (options) => s.apply(wanted, options));
  await s.add("web", "ssh");
  await s.apply(wanted, { expectedPlan });
});

record("the world changes after a fleet was planned", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  const wanted = { web: { services: ["redis", "http"] } };
  const expectedPlan = await s.plan("the fleet", (options) => s.apply(wanted, options));
  local.alter("web", "redis", { status: "exited", exitCode: 1 });
  await s.apply(wanted, { expectedPlan });
});

record("a whole change of a fleet is planned", async (s) => {
  await s.deploy({
    changed: { services: ["redis"] },
    leaves: { services: ["redis"] },
    moves: { services: ["redis"] },
    kept: { services: ["redis"] },
  });
  await s.plan("the fleet", (options) =>
    s.apply(
      {
        changed: { services: ["redis", "http"] },
        moves: { services: ["redis"], host: "edge-1" },
        kept: { services: ["redis"] },
        fresh: { services: ["redis"] },
      },
      options,
    ),
  );
  await s.plan("tearing all down", (options) => s.teardownFleet(options));
});

record("a fleet is applied again with the same request id", async (s) => {
  const wanted = { web: { services: ["redis"] } };
  await s.apply(wanted, { requestId: "f-same" });
  await s.apply(wanted, { requestId: "f-same" });
});

record("a request id of a fleet is used for another fleet", async (s) => {
  await s.apply({ web: { services: ["redis"] } }, { requestId: "f-reused" });
  await s.apply({ web: { services: ["http"] } }, { requestId: "f-reused" });
});

record("a part of a fleet fails and the others go on", async (s, { local }) => {
  local.fail({ decky: "db", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp", { outputTail: ["bad"] });
  await s.apply({ web: { services: ["redis"] }, db: { services: ["redis"] }, mail: { services: ["redis"] } });
});

record("a part of a fleet fails and is kept", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  local.fail({ decky: "web", verb: "create", slug: "http" }, "no such image");
  await s.apply({ web: { services: ["redis", "http"] } }, keep);
});

record("a move fails and the decky goes back", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  stage.worker("edge-2").engine.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  await s.apply({ web: { services: ["redis"], host: "edge-2" } });
});

record("a move from the master fails and the decky goes back", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"] } });
  stage.worker("edge-1").engine.fail({ decky: "web", verb: "create", slug: "" }, "no address is left");
  await s.apply({ web: { services: ["redis"], host: "edge-1" } });
});

record("a move that keeps the old one fails and the old one was never gone", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  stage.worker("edge-2").engine.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  await s.apply({ web: { services: ["redis"], host: "edge-2" } }, undefined, { moves: MovePolicy.KEEP_OLD });
});

record("a move with other services fails and the decky goes back with its old ones", async (s, stage) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 } }, host: "edge-1" } });
  stage.worker("edge-2").engine.fail({ decky: "web", verb: "create", slug: "http" }, "no such image");
  await s.apply({ web: { services: { redis: { maxmemory_mb: 48 }, http: {} }, host: "edge-2" } });
});

record("a move fails and is kept", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  stage.worker("edge-2").engine.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  await s.apply({ web: { services: ["redis"], host: "edge-2" } }, keep);
});

record("a move fails and the way back fails too", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  stage.worker("edge-2").engine.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  stage.worker("edge-1").engine.fail({ decky: "web", verb: "create", slug: "redis" }, "no such image");
  await s.apply({ web: { services: ["redis"], host: "edge-2" } });
});

record("a pending move is cancelled", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"] } });
  const hold = stage.local.hold({ decky: "web", verb: "create", slug: "http" });
  const add = await s.add("web", "http", undefined, later);
  await s.untilStep(add, "create", "http");
  const move = await s.apply({ web: { services: ["redis", "http"], host: "edge-1" } }, later);
  await s.cancel((await s.parts(move))[0], "it stays");
  hold.release();
});

record("a running move is cancelled and the decky goes back", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  stage.worker("edge-2").engine.hold({ decky: "web", verb: "create", slug: "redis" });
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, later);
  const [part] = await s.parts(move);
  await s.untilStep(part, "create", "redis");
  await s.cancel(part, "it stays");
  await s.untilEnded(move);
});

record("a change of a service comes while its decky moves", async (s, stage) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  const hold = stage.worker("edge-2").engine.hold({ decky: "web", verb: "create", slug: "redis" });
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, later);
  const [part] = await s.parts(move);
  await s.untilStep(part, "create", "redis");
  await s.add("web", "http", undefined, later);
  hold.release();
  await s.untilEnded(move);
});

record("a decky is torn down", async (s) => {
  await s.deploy({ web: { services: ["redis", "ssh"] } });
  await s.teardown("web", { reason: "done" });
});

record("a decky on a worker is torn down", async (s) => {
  await s.deploy({ web: { services: ["redis"], host: "edge-1" } });
  await s.teardown("web");
});

record("a fleet is torn down", async (s) => {
  await s.deploy({ web: { services: ["redis"] }, db: { services: ["redis"], host: "edge-1" } });
  await s.teardownFleet({ reason: "the end" });
});

record("an empty fleet is torn down", async (s) => {
  await s.teardownFleet({ reason: "nothing" });
});

record("a fleet is torn down and a part fails", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] }, pinned: { services: ["redis"] } });
  local.fail({ decky: "pinned", verb: "stop", slug: "" }, "it does not stop");
  await s.teardownFleet();
});

record("a fleet wants a decky back that is being torn down", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  const hold = local.hold({ decky: "web", verb: "stop", slug: "redis" });
  const teardown = await s.teardown("web", later);
  await s.untilStep(teardown, "stop", "redis");
  await s.apply({ web: { services: ["redis"] } });
  hold.release();
  await s.untilEnded(teardown);
});

record("fleets that cannot be are refused", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.apply({ web: { services: ["redis"], host: "nowhere" } });
  await s.apply({ web: { services: ["gopher"] } });
  await s.apply({ web: { services: { redis: { maxmemory_mb: 1_000_000 } } } });
});

record("a fleet names a worker that is away and does not want to wait", async (s, stage) => {
  await stage.worker("edge-1").cut();
  await s.apply({ web: { services: ["redis"], host: "edge-1" } }, refuse);
});
