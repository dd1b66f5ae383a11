import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { MovePolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { useStage } from "./support/record.ts";
import { keep, later, refuse } from "./support/situation.ts";

/** Hosts that go away in the middle of something, or before it, and come back. */
const record = useStage(["edge-1", "edge-2"]);

const onEdge1 = { web: { services: { redis: { maxmemory_mb: 32 } }, host: "edge-1" } };

record("a change waits for its host", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-1").cut();
  const add = await s.add("web", "ssh", undefined, later);
  await s.note("the host is away");
  await stage.worker("edge-1").heal();
  await s.untilEnded(add);
});

record("several changes wait for their host", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-1").cut();
  await s.add("web", "ssh", undefined, later);
  await s.remove("web", "redis", later);
  await s.add("web", "http", undefined, later);
  await stage.worker("edge-1").heal();
});

record("a caller is told what a change waits for", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-1").cut();
  await s.add("web", "ssh");
  s.leaveOpen();
});

record("a change does not want to wait for its host", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-1").cut();
  await s.add("web", "ssh", undefined, { ...later, ...refuse });
});

record("plans while the host is away", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-1").cut();
  await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  await s.plan("adding ssh without waiting", (options) => s.add("web", "ssh", undefined, { ...options, ...refuse }));
  await s.plan("the fleet", (options) => s.apply({ web: { services: ["http"], host: "edge-1" } }, options));
  await s.add("web", "ssh", undefined, { expectedPlan: "0".repeat(32) });
});

record("a save while the host is away", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-1").cut();
  await s.update("web", "redis", { config: { maxmemory_mb: 48 } }, later);
});

record("a plan changes on a worker after the change was stored", async (s, stage) => {
  await s.deploy(onEdge1);
  const { engine } = stage.worker("edge-1");
  const expectedPlan = await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  const hold = engine.holdApply("web");
  const add = await s.add("web", "ssh", undefined, { ...later, expectedPlan });
  await hold.reached;
  engine.alter("web", "redis", { status: "exited", exitCode: 137 });
  hold.release();
  await s.untilEnded(add);
});

record("a change fails on a worker and its undo fails too", async (s, stage) => {
  await s.deploy(onEdge1);
  const { engine } = stage.worker("edge-1");
  engine.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp", { outputTail: ["bad setting"] });
  engine.fail({ decky: "web", verb: "stop", slug: "ssh" }, "it does not stop");
  await s.add("web", "ssh");
});

record("a failed change on a worker is kept", async (s, stage) => {
  await s.deploy(onEdge1);
  const { engine } = stage.worker("edge-1");
  engine.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  await s.add("web", "ssh", undefined, keep);
  await engine.look("web");
  await s.add("web", "http");
});

record("a running change on a worker is cancelled", async (s, stage) => {
  await s.deploy(onEdge1);
  stage.worker("edge-1").engine.hold({ decky: "web", verb: "create", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "create", "ssh");
  await s.cancel(add, "not now");
  await s.untilEnded(add);
});

record("a host goes away in the middle of a change and comes back", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const hold = worker.engine.hold({ decky: "web", verb: "create", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "create", "ssh");
  await worker.cut();
  await s.untilState("web", DeckyState.UNKNOWN);
  await s.note("the host is away");
  hold.release();
  await worker.heal();
  await s.untilEnded(add);
});

record("a change is given up when its host goes away in the middle", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const hold = worker.engine.hold({ decky: "web", verb: "create", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, { ...later, ...refuse });
  await s.untilStep(add, "create", "ssh");
  await worker.cut();
  await s.untilEnded(add);
  await s.note("given up");
  hold.release();
  await worker.heal();
});

record("a change of settings is given up and taken back", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const hold = worker.engine.hold({ decky: "web", verb: "settle", slug: "redis" });
  const change = { config: { maxmemory_mb: 48 }, apply: true };
  const update = await s.update("web", "redis", change, { ...later, ...refuse });
  await s.untilStep(update, "settle", "redis");
  await worker.cut();
  await s.untilEnded(update);
  hold.release();
  await worker.heal();
});

record("one change is given up and another waits", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const occupied = worker.engine.hold({ decky: "web", verb: "create", slug: "telnet" });
  const first = await s.add("web", "telnet", undefined, later);
  await s.untilStep(first, "create", "telnet");
  const quits = await s.add("web", "ssh", undefined, { ...later, ...refuse });
  const waits = await s.add("web", "http", undefined, later);
  const hold = worker.engine.hold({ decky: "web", verb: "create", slug: "ssh" });
  occupied.release();
  await s.untilStep(waits, "create", "ssh");
  await worker.cut();
  await s.untilEnded(quits);
  hold.release();
  await worker.heal();
  await s.untilEnded(waits);
});

record("a first deploy is given up", async (s, stage) => {
  const worker = stage.worker("edge-1");
  const hold = worker.engine.hold({ decky: "web", verb: "create", slug: "redis" });
  const deploy = await s.apply(onEdge1, { ...later, ...refuse });
  const [part] = await s.parts(deploy);
  await s.untilStep(part, "create", "redis");
  await worker.cut();
  await s.untilEnded(deploy);
  await s.note("given up");
  hold.release();
  await worker.heal();
});

record("a move is given up and the decky goes back", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-2");
  const hold = worker.engine.hold({ decky: "web", verb: "create", slug: "redis" });
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, { ...later, ...refuse });
  const [part] = await s.parts(move);
  await s.untilStep(part, "create", "redis");
  await worker.cut();
  await s.untilEnded(move);
  hold.release();
  await worker.heal();
});

record("a teardown is given up", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const hold = worker.engine.hold({ decky: "web", verb: "stop", slug: "redis" });
  const teardown = await s.teardown("web", { ...later, ...refuse });
  await hold.reached;
  await worker.cut();
  await s.untilEnded(teardown);
  s.leaveOpen();
});

record("a pending change is cancelled while its host is away", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  await worker.cut();
  const add = await s.add("web", "ssh", undefined, later);
  await s.cancel(add, "not now");
});

record("a running change is cancelled while its host is away", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const hold = worker.engine.hold({ decky: "web", verb: "create", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "create", "ssh");
  await worker.cut();
  await s.untilState("web", DeckyState.UNKNOWN);
  await s.cancel(add, "not now");
  await s.note("cancelled, and the host is away");
  hold.release();
  await worker.heal();
  await s.untilEnded(add);
});

record("a first deploy that has not begun is cancelled", async (s, stage) => {
  await stage.worker("edge-1").cut();
  const deploy = await s.apply(onEdge1, later);
  const [part] = await s.parts(deploy);
  await s.cancel(part, "not now");
  await s.untilEnded(deploy);
});

record("a fleet that has not begun is cancelled", async (s, stage) => {
  await stage.worker("edge-1").cut();
  const other = { db: { services: ["redis"], host: "edge-1" } };
  const deploy = await s.apply({ ...onEdge1, ...other }, later);
  await s.cancel(deploy, "not now");
  await s.untilEnded(deploy);
});

record("a first deploy that has not begun is cancelled and a later change is open", async (s, stage) => {
  const worker = stage.worker("edge-1");
  await worker.cut();
  const deploy = await s.apply(onEdge1, later);
  const [part] = await s.parts(deploy);
  const add = await s.add("web", "http", undefined, later);
  await s.cancel(part);
  await worker.heal();
  await s.untilEnded(add);
});

record("a change of a decky that was never deployed is cancelled", async (s, stage) => {
  const worker = stage.worker("edge-1");
  await worker.cut();
  const deploy = await s.apply(onEdge1, later);
  const add = await s.add("web", "http", undefined, later);
  await s.cancel(add);
  await worker.heal();
  await s.untilEnded(deploy);
});

record("a host is silent and comes back", async (s, stage) => {
  await s.deploy(onEdge1);
  s.about("edge-1");
  const worker = stage.worker("edge-1");
  await worker.cut();
  await s.untilState("web", DeckyState.UNKNOWN);
  await s.note("the host is silent");
  await worker.heal();
  worker.engine.watch("web");
  await s.untilState("web", DeckyState.RUNNING);
});

record("a decky moves away from a host that is away", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  await worker.cut();
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, later);
  await s.note("the old host is away");
  await worker.heal();
  await s.untilEnded(move);
});

record("a decky runs at its new place while its old host is away", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  await worker.cut();
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, later, { moves: MovePolicy.KEEP_OLD });
  await s.untilEnded(move);
  await s.note("it runs at its new place");
  await worker.heal();
});

record("a pending move from a host that is away is cancelled", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  await worker.cut();
  const move = await s.apply({ web: { services: ["redis"], host: "edge-2" } }, later);
  await s.cancel((await s.parts(move))[0], "it stays", "olga");
  await s.untilEnded(move);
  await worker.heal();
});
