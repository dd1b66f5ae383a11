import { useStage } from "./support/record.ts";
import { keep, later, type Situation } from "./support/situation.ts";
import type { Stage } from "./support/stage.ts";

/** Operations that are cancelled before they begin, while they run, and too late. */
const record = useStage();

async function occupy(s: Situation, { local }: Stage) {
  const hold = local.hold({ decky: "web", verb: "create", slug: "telnet" });
  const first = await s.add("web", "telnet", undefined, later);
  await s.untilStep(first, "create", "telnet");
  return { release: hold.release, first };
}

const before = { web: { services: { redis: { maxmemory_mb: 32 } } } };

record("a pending change is cancelled", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const second = await s.add("web", "ssh", undefined, { ...later, reason: "ticket 1" });
  await s.cancel(second, "not this one");
  release();
});

record("a pending change is cancelled by somebody else", async (s, stage) => {
  await s.deploy(before);
  const { release, first } = await occupy(s, stage);
  const second = await s.add("web", "ssh", undefined, { ...later, reason: "ticket 1" });
  await s.cancel(second, "not this one", "olga");
  release();
  await s.untilEnded(first);
  await stage.local.look("web");
});

record("a running change is cancelled by somebody else", async (s, stage) => {
  await s.deploy(before);
  const { first } = await occupy(s, stage);
  await s.cancel(first, "not now", "olga");
  await s.untilEnded(first);
});

record("a pending change is cancelled in the middle of later ones", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const second = await s.add("web", "ssh", undefined, later);
  await s.add("web", "http", undefined, later);
  await s.cancel(second, "not this one");
  release();
});

record("a pending change of settings is cancelled and a later one of the service is open", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const second = await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, later);
  await s.update("web", "redis", { config: { maxmemory_mb: 64 }, apply: true }, later);
  await s.cancel(second);
  release();
});

record("a pending restore of all services is cancelled", async (s, stage) => {
  await s.deploy(before);
  await s.add("web", "http");
  const { release } = await occupy(s, stage);
  const restore = await s.restore("web", 1, "", later);
  await s.cancel(restore);
  release();
});

record("a pending restore of all services is cancelled and a later change is open", async (s, stage) => {
  await s.deploy(before);
  await s.add("web", "http");
  const { release } = await occupy(s, stage);
  const restore = await s.restore("web", 1, "", later);
  await s.add("web", "ftp", undefined, later);
  await s.cancel(restore);
  release();
});

record("a pending teardown is cancelled and the decky stays", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const teardown = await s.teardown("web", later);
  await s.cancel(teardown, "it is needed");
  release();
});

record("a running teardown is cancelled and the decky stays", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis", "http"] } });
  const hold = local.hold({ decky: "web", verb: "stop", slug: "redis" });
  const teardown = await s.teardown("web", later);
  await s.untilStep(teardown, "stop", "redis");
  await s.cancel(teardown, "it is needed");
  await s.untilEnded(teardown);
  hold.release();
});

record("a running change is cancelled", async (s, stage) => {
  await s.deploy(before);
  const { first } = await occupy(s, stage);
  await s.cancel(first, "not now");
  await s.untilEnded(first);
});

record("a running change of settings is cancelled after its container was made", async (s, { local }) => {
  await s.deploy(before);
  local.hold({ decky: "web", verb: "settle", slug: "redis" });
  const update = await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, later);
  await s.untilStep(update, "settle", "redis");
  await s.cancel(update);
  await s.untilEnded(update);
});

record("a running change that keeps failures is cancelled", async (s, { local }) => {
  await s.deploy(before);
  local.hold({ decky: "web", verb: "settle", slug: "redis" });
  const update = await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, { ...later, ...keep });
  await s.untilStep(update, "settle", "redis");
  await s.cancel(update);
  await s.untilEnded(update);
});

record("a running change is cancelled and its undo fails", async (s, { local }) => {
  await s.deploy(before);
  local.hold({ decky: "web", verb: "settle", slug: "ssh" });
  local.fail({ decky: "web", verb: "stop", slug: "ssh" }, "it does not stop");
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "settle", "ssh");
  await s.cancel(add);
  await s.untilEnded(add);
});

record("a running change is cancelled while others wait", async (s, stage) => {
  await s.deploy(before);
  const { first } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  await s.cancel(first);
});

record("a running change with nothing to revert is cancelled", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const update = await s.update("web", "redis", { config: { maxmemory_mb: 32 }, apply: true }, later);
  stage.local.alter("web", "redis", { status: "exited", exitCode: 1 });
  stage.local.hold({ decky: "web", verb: "start", slug: "redis" });
  release();
  await s.untilStep(update, "start", "redis");
  await s.cancel(update);
  await s.untilEnded(update);
});

record("a running repair is cancelled", async (s, { local }) => {
  await s.deploy(before);
  local.alter("web", "redis", { status: "exited", exitCode: 1 });
  const hold = local.hold({ decky: "web", verb: "start", slug: "redis" });
  void local.look("web");
  await hold.reached;
  const [repair] = await s.begun();
  await s.untilStep(repair, "start", "redis");
  await s.cancel(repair);
  await s.untilEnded(repair);
});

record("a change is cancelled twice", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const second = await s.add("web", "ssh", undefined, later);
  await s.cancel(second);
  await s.cancel(second);
  release();
});

record("a change that is over cannot be cancelled", async (s) => {
  await s.deploy(before);
  const done = await s.add("web", "ssh");
  await s.cancel(done);
});

record("a change is cancelled while its failure is undone", async (s, { local }) => {
  await s.deploy(before);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  const hold = local.hold({ decky: "web", verb: "stop", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "stop", "ssh");
  await s.cancel(add);
  hold.release();
  await s.untilEnded(add);
});

record("a first deploy is cancelled while it runs", async (s, { local }) => {
  local.hold({ decky: "web", verb: "create", slug: "redis" });
  const deploy = await s.apply(before, later);
  await s.untilOperations(2);
  const part = (await s.parts(deploy))[0];
  await s.untilStep(part, "create", "redis");
  await s.cancel(part, "not now");
  await s.untilEnded(deploy);
});

record("a fleet is cancelled while its parts run", async (s, { local }) => {
  for (const decky of ["db", "web"]) local.hold({ decky, verb: "create", slug: "redis" });
  const deploy = await s.apply({ web: { services: ["redis"] }, db: { services: ["redis"] } }, later);
  for (const part of await s.parts(deploy)) await s.untilStep(part, "create", "redis");
  await s.cancel(deploy, "not now");
  await s.untilEnded(deploy);
});

record("a fleet is cancelled after one of its parts is done", async (s, { local }) => {
  local.hold({ decky: "web", verb: "create", slug: "redis" });
  const deploy = await s.apply({ web: { services: ["redis"] }, db: { services: ["redis"] } }, later);
  const [db, web] = await s.parts(deploy);
  await s.untilEnded(db);
  await s.untilStep(web, "create", "redis");
  await s.cancel(deploy);
  await s.untilEnded(deploy);
});

record("a pending change of a fleet is cancelled", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  const change = await s.apply({ web: { services: { redis: { maxmemory_mb: 64 } } } }, later);
  await s.cancel(change);
  release();
});
