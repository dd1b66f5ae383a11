import { MovePolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { useStage } from "./support/record.ts";
import { later, refuse } from "./support/situation.ts";

/** Hosts that are drained, and hosts that leave for good. */
const record = useStage(["edge-1", "edge-2"]);

const onEdge1 = { web: { services: { redis: { maxmemory_mb: 32 } }, host: "edge-1" } };

record("a host is drained", async (s) => {
  s.about("edge-1");
  const db = { services: ["redis"], host: "edge-1" };
  await s.deploy({ ...onEdge1, db });
  const expectedPlan = await s.plan("draining", (options) => s.drain("edge-1", options));
  await s.drain("edge-1", { expectedPlan, reason: "new disks", requestId: "d-1" });
  await s.drain("edge-1", { expectedPlan, reason: "new disks", requestId: "d-1" });
  await s.apply({ fresh: { services: ["redis"], host: "edge-1" } });
});

record("a host without deckies is drained", async (s) => {
  s.about("edge-1");
  await s.drain("edge-1");
});

record("a drain carries a plan that is not right any more", async (s) => {
  await s.deploy(onEdge1);
  const expectedPlan = await s.plan("draining", (options) => s.drain("edge-1", options));
  await s.add("web", "http");
  await s.drain("edge-1", { expectedPlan });
});

record("a host is drained and a decky fails at its new place", async (s, stage) => {
  await s.deploy(onEdge1);
  stage.worker("edge-2").engine.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  await s.drain("edge-1");
});

record("a host that is away is drained", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  await worker.cut();
  await s.drain("edge-1", refuse);
  const drain = await s.drain("edge-1", later);
  await worker.heal();
  await s.untilEnded(drain);
});

record("a host is drained and there is no other", async (s, stage) => {
  await s.deploy(onEdge1);
  await stage.worker("edge-2").cut();
  await s.drain("edge-1");
});

record("a drain is cancelled while a decky moves", async (s, stage) => {
  await s.deploy(onEdge1);
  stage.worker("edge-2").engine.hold({ decky: "web", verb: "create", slug: "redis" });
  const drain = await s.drain("edge-1", later);
  const [part] = await s.parts(drain);
  await s.untilStep(part, "create", "redis");
  await s.cancel(drain, "it stays");
  await s.untilEnded(drain);
});

record("a host is decommissioned", async (s, stage) => {
  await stage.join("gone-1");
  s.about("gone-1");
  await s.deploy({ web: { services: ["redis"], host: "gone-1" } });
  const expectedPlan = await s.plan("decommissioning", (options) => s.decommission("gone-1", false, options));
  await s.decommission("gone-1", false, { expectedPlan, reason: "sold" });
});

record("a host without deckies is decommissioned", async (s, stage) => {
  await stage.join("gone-2");
  s.about("gone-2");
  await s.begin();
  await s.decommission("gone-2", false);
  await s.decommission("gone-2", false);
});

record("a host that is away is decommissioned", async (s, stage) => {
  const worker = await stage.join("gone-3");
  s.about("gone-3");
  await s.deploy({ web: { services: ["redis"], host: "gone-3" } });
  await worker.cut();
  const waiting = await s.add("web", "http", undefined, later);
  await s.decommission("gone-3", false);
  await s.decommission("gone-3", true);
  await s.untilEnded(waiting);
});

record("a decommissioning is forced to its end", async (s, stage) => {
  const worker = await stage.join("gone-4");
  s.about("gone-4");
  await s.deploy({ web: { services: ["redis"], host: "gone-4" } });
  const hold = worker.engine.hold({ decky: "web", verb: "stop", slug: "redis" });
  await s.decommission("gone-4", false, later);
  await hold.reached;
  await s.decommission("gone-4", true);
});

record("a teardown is cancelled and ends the decommissioning it is a part of", async (s, stage) => {
  const worker = await stage.join("stays-1");
  s.about("stays-1");
  await s.deploy({ web: { services: ["redis"], host: "stays-1" } });
  const other = worker.engine.hold({ decky: "web", verb: "create", slug: "http" });
  const add = await s.add("web", "http", undefined, later);
  await s.untilStep(add, "create", "http");
  const leaving = await s.decommission("stays-1", false, later);
  await s.cancel((await s.parts(leaving))[0], "it stays");
  other.release();
  await s.untilEnded(leaving);
  await s.until("it gives up", async () => (await s.host("stays-1"))?.message.startsWith("decommissioning failed") === true);
});

record("unknown hosts are refused", async (s) => {
  await s.drain("nowhere");
  await s.decommission("nowhere", true);
});

record("a host that is away is drained without waiting, where nothing has to wait for it", async (s, stage) => {
  await s.deploy(onEdge1, { moves: MovePolicy.KEEP_OLD });
  await stage.worker("edge-1").cut();
  await s.plan("draining without waiting", (options) => s.drain("edge-1", { ...options, ...refuse }));
  await s.drain("edge-1", refuse);
  await s.note("the host is still away");
  await stage.worker("edge-1").heal();
  await s.until("it is removed there", async () => (await s.get("web"))?.message === "");
});

record("a host without deckies that is away is drained without waiting", async (s, stage) => {
  s.about("edge-1");
  await stage.worker("edge-1").cut();
  await s.begin();
  await s.drain("edge-1", refuse);
});

record("a drain that does not want to wait loses its host before a decky has left", async (s, stage) => {
  await s.deploy(onEdge1);
  const worker = stage.worker("edge-1");
  const hold = worker.engine.holdApply("web");
  const drain = await s.drain("edge-1", { ...later, ...refuse });
  await hold.reached;
  await worker.cut();
  await s.untilEnded(drain);
  hold.release();
  await worker.heal();
});

record("a decky that moved cannot be removed from where it was", async (s, stage) => {
  await s.deploy(onEdge1, { moves: MovePolicy.KEEP_OLD });
  const { engine } = stage.worker("edge-1");
  engine.fail({ decky: "web", verb: "stop" }, "the container does not stop", { times: 2 });
  await s.apply({ web: { services: { redis: { maxmemory_mb: 32 } }, host: "edge-2" } }, {}, { moves: MovePolicy.KEEP_OLD });
  const says = async () => (await s.get("web"))?.message.replaceAll(/at \d{4}\S+Z/g, "at a time") ?? "";
  const why = "web could not be removed from edge-1: the container does not stop; tried again at a time";
  await s.until("it says why", async () => (await says()) === `still has to be removed from edge-1: ${why}`);
  await s.until("it is removed", async () => (await says()) === "");
});
