import { UpdateMode } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { useStage } from "./support/record.ts";
import { engineAway, keep, later } from "./support/situation.ts";

/** Changes of one service that go well, or are refused. */
const record = useStage();

record("a service is added", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.add("web", "ssh", { password: "first", user: "maria" }, { reason: "ticket 1" });
});

record("a service is removed", async (s) => {
  await s.deploy({ web: { services: ["redis", "http"] } });
  await s.remove("web", "http", { reason: "not needed" });
});

record("the last service of a decky is removed", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.remove("web", "redis");
});

record("settings are replaced and a secret that is not named is kept", async (s) => {
  await s.deploy({ web: { services: { ssh: { password: "first", user: "maria" } } } });
  await s.update("web", "ssh", { config: { hostname: "front" }, apply: true });
});

record("settings are merged", async (s) => {
  await s.deploy({ web: { services: { ssh: { password: "first", user: "maria" } } } });
  await s.update("web", "ssh", { config: { hostname: "front", user: "" }, mode: UpdateMode.MERGE, apply: true });
});

record("a secret is changed and another is cleared", async (s) => {
  await s.deploy({ web: { services: { ssh: { password: "first", user_password: "second" } } } });
  await s.update("web", "ssh", { config: { password: "third" }, clearSecrets: ["user_password"], apply: true });
});

record("settings are saved and applied afterwards", async (s) => {
  await s.deploy({ web: { services: { ssh: { password: "first" }, redis: {} } } });
  await s.update("web", "ssh", { config: { password: "second", user: "maria" } });
  await s.note("saved");
  await s.update("web", "ssh", { apply: true });
});

record("saved settings are taken back before they are applied", async (s) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 } } } });
  await s.update("web", "redis", { config: { maxmemory_mb: 48 } });
  await s.update("web", "redis", { config: { maxmemory_mb: 32 } });
});

record("saved settings stay saved when another service changes", async (s) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 } } } });
  await s.update("web", "redis", { config: { maxmemory_mb: 48 } });
  await s.add("web", "http");
});

record("an update asks for what is there already", async (s) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 } } } });
  await s.update("web", "redis", { config: { maxmemory_mb: 32 }, apply: true });
});

record("one service is restored from an old revision", async (s) => {
  await s.deploy({ web: { services: { ssh: { password: "first" }, redis: {} } } });
  await s.update("web", "ssh", { config: { password: "second" }, apply: true });
  await s.remove("web", "redis");
  await s.restore("web", 1, "ssh", { reason: "as before" });
});

record("a removed service is restored with its settings", async (s) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32, password: "kept" }, http: {} } } });
  await s.remove("web", "redis");
  await s.restore("web", 1, "redis");
});

record("all services are restored from an old revision", async (s) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 }, http: {} } } });
  await s.remove("web", "http");
  await s.add("web", "ssh");
  await s.restore("web", 1);
});

record("a restore of what is there already", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.restore("web", 1);
});

record("the same request id again returns the first operation", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.add("web", "ssh", { user: "maria" }, { requestId: "r-same" });
  await s.add("web", "ssh", { user: "maria" }, { requestId: "r-same" });
});

record("a request id is used for another request", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.add("web", "ssh", { user: "maria" }, { requestId: "r-reused" });
  await s.add("web", "http", {}, { requestId: "r-reused" });
});

record("a request id of a failed change returns its failure", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  local.fail({ decky: "web", verb: "create", slug: "ssh" }, "no such image");
  await s.add("web", "ssh", {}, { requestId: "r-failed" });
  await s.add("web", "ssh", {}, { requestId: "r-failed" });
});

record("a change expects another revision", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.add("web", "http", undefined, { expectedRevision: 1 });
  await s.add("web", "ssh", undefined, { expectedRevision: 1 });
});

record("a change carries the plan that is still right", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  const expectedPlan = await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  await s.add("web", "ssh", undefined, { expectedPlan });
});

record("a change carries a plan that is not right any more", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  const expectedPlan = await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  await s.add("web", "ssh", undefined, { expectedPlan });
});

record("a plan changes on the host after the change was stored", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  const expectedPlan = await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  const hold = local.holdApply("web");
  const operation = await s.add("web", "ssh", undefined, { ...later, expectedPlan });
  await hold.reached;
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  hold.release();
  await s.untilEnded(operation);
});

record("a plan changes on the host and the change is kept", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  const expectedPlan = await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  const hold = local.holdApply("web");
  const operation = await s.add("web", "ssh", undefined, { ...later, ...keep, expectedPlan });
  await hold.reached;
  local.alter("web", "redis", { status: "exited", exitCode: 137 });
  hold.release();
  await s.untilEnded(operation);
});

record("dry runs change nothing", async (s) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32, password: "p" }, http: {} } } });
  await s.plan("adding ssh", (options) => s.add("web", "ssh", { password: "secret" }, options));
  await s.plan("removing http", (options) => s.remove("web", "http", options));
  await s.plan("updating redis", (options) => s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, options));
  await s.plan("saving redis", (options) => s.update("web", "redis", { config: { maxmemory_mb: 48 } }, options));
  await s.plan("restoring revision 1", (options) => s.restore("web", 1, "", options));
  await s.plan("tearing down", (options) => s.teardown("web", options));
});

record("changes that cannot be are refused", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.add("web", "redis");
  await s.add("web", "gopher");
  await s.add("web", "sniffer");
  await s.add("web", "ssh", { user: "x".repeat(40) });
  await s.remove("web", "http");
  await s.update("web", "http", { config: {}, apply: true });
  await s.update("web", "redis", { clearSecrets: ["maxmemory_mb"], apply: true });
  await s.restore("web", 7);
  await s.add("absent", "ssh");
  const hold = local.hold({ decky: "web", verb: "stop", slug: "redis" });
  const teardown = await s.teardown("web", later);
  await hold.reached;
  await s.add("web", "ssh");
  await s.teardown("web");
  hold.release();
  await s.untilEnded(teardown);
});

record("a change of the settings of a service that exited", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis", "http"] } });
  local.alter("web", "redis", { status: "exited", exitCode: 1 });
  await s.add("web", "ssh");
});

record("the engine is away for a moment", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  local.throwAt({ decky: "web", verb: "create", slug: "ssh" }, engineAway());
  const operation = await s.add("web", "ssh", undefined, later);
  await s.untilEnded(operation);
});

record("the engine is away when a plan is wanted", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"] } });
  local.breakFor("web", engineAway());
  await s.add("web", "ssh", undefined, { dryRun: true });
  await s.add("web", "ssh", undefined, { expectedPlan: "0".repeat(32) });
});
