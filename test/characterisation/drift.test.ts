import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { DriftPolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { useStage } from "./support/record.ts";
import { engineAway, type FleetOptions, later, type Situation } from "./support/situation.ts";
import type { Stage } from "./support/stage.ts";

/** What nobody asked for: seen, said, repaired, and given up for a while. */
const record = useStage(["edge-1"]);

/** A worker hears of the fleet's policy when it connects, or some time later. */
async function deployOnWorker(s: Situation, stage: Stage, fleet?: FleetOptions) {
  await s.deploy(onWorker, fleet);
  const worker = stage.worker("edge-1");
  await worker.cut();
  await worker.heal();
  await s.begin();
  return worker.engine;
}

const onMaster = { web: { services: ["redis", "http"] } };
const onWorker = { web: { services: ["redis", "http"], host: "edge-1" } };
const report = { drift: DriftPolicy.REPORT };

record("drift on the master is repaired", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  await local.look("web");
});

record("a container that is gone is made again", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "redis", undefined);
  await local.look("web");
});

record("a base that is gone is made again with everything on it", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "", undefined);
  await local.look("web");
});

record("a container with other settings is made again", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "http", { hash: "somebody else's" });
  await local.look("web");
});

record("drift on the master is only reported", async (s, { local }) => {
  await s.deploy(onMaster, report);
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  await local.look("web");
  await s.note("seen");
  local.alter("web", "redis", { status: "running" });
  await local.look("web");
});

record("a reported drift is gone after the next change", async (s, { local }) => {
  await s.deploy(onMaster, report);
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  await local.look("web");
  await s.add("web", "ssh");
});

record("a repair on the master fails and is not tried again at once", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  local.fail({ decky: "web", verb: "start", slug: "redis" }, "it does not start", { outputTail: ["broken"], times: 5 });
  await local.look("web");
  const [repair] = await s.begun();
  await s.untilEnded(repair);
  await local.look("web");
});

record("a change comes while a repair runs", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  const hold = local.hold({ decky: "web", verb: "start", slug: "redis" });
  void local.look("web");
  await hold.reached;
  await s.add("web", "ssh", undefined, later);
  hold.release();
});

record("a change fails in a decky that drifted", async (s, { local }) => {
  await s.deploy(onMaster);
  local.alter("web", "redis", undefined);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  await s.add("web", "ssh");
});

record("the engine of the master does not answer for a while", async (s, { local }) => {
  await s.deploy(onMaster);
  local.breakChecks(engineAway());
  await s.untilState("web", DeckyState.UNKNOWN);
  await s.note("away");
  local.breakChecks(undefined);
  await local.look("web");
});

record("a worker repairs drift by itself and reports it", async (s, stage) => {
  const engine = await deployOnWorker(s, stage);
  engine.alter("web", "redis", { status: "exited", exitCode: 137 });
  await engine.look("web");
  await s.untilOperations(1);
  await engine.look("web");
  await s.untilState("web", DeckyState.RUNNING);
});

record("a worker only reports drift", async (s, stage) => {
  const engine = await deployOnWorker(s, stage, report);
  engine.alter("web", "redis", { status: "exited", exitCode: 137 });
  await engine.look("web");
  await s.untilState("web", DeckyState.DEGRADED);
});

record("a worker's repair fails", async (s, stage) => {
  const engine = await deployOnWorker(s, stage);
  engine.alter("web", "redis", { status: "exited", exitCode: 137 });
  engine.fail({ decky: "web", verb: "start", slug: "redis" }, "it does not start", { outputTail: ["broken"] });
  await engine.look("web");
  await s.untilOperations(1);
  await s.untilState("web", DeckyState.DEGRADED);
});

record("a worker's engine does not answer for a while", async (s, stage) => {
  const engine = await deployOnWorker(s, stage);
  s.about("edge-1");
  engine.breakChecks(engineAway());
  await s.untilState("web", DeckyState.UNKNOWN);
  await s.note("away");
  engine.breakChecks(undefined);
  engine.watch("web");
  await s.untilState("web", DeckyState.RUNNING);
});
