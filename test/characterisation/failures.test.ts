import { useStage } from "./support/record.ts";
import { engineAway, keep, later } from "./support/situation.ts";

/** Changes that fail on the host: what is taken back, what stays, and what becomes of the others. */
const record = useStage();

const redisOnly = { web: { services: { redis: { maxmemory_mb: 32 } } } };

record("an added service cannot be created", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "create", slug: "ssh" }, "starting web-ssh failed with exit code 1", {
    outputTail: ["no such image", "giving up"],
  });
  await s.add("web", "ssh", undefined, { reason: "ticket 1" });
});

record("an added service does not settle", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  await s.add("web", "ssh");
});

record("a removed service does not stop", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis", "http"] } });
  local.fail({ decky: "web", verb: "stop", slug: "http" }, "it does not stop");
  await s.remove("web", "http");
});

record("new settings do not settle", async (s, { local }) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32, password: "p" } } } });
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "exited with code 1");
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true });
});

record("a restored service does not settle", async (s, { local }) => {
  await s.deploy(redisOnly);
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true });
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "exited with code 1");
  await s.restore("web", 1, "redis");
});

record("a restore of all services fails at one of them", async (s, { local }) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 }, http: {} } } });
  await s.remove("web", "http");
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true });
  local.fail({ decky: "web", verb: "create", slug: "http" }, "no such image");
  await s.restore("web", 1);
});

record("a step of the base fails", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.alter("web", "", undefined);
  local.fail({ decky: "web", verb: "create", slug: "" }, "the name is taken");
  await s.add("web", "ssh");
});

record("a first deploy fails and nothing stays", async (s, { local }) => {
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp", { outputTail: ["bad setting"] });
  await s.apply(redisOnly, { reason: "new" });
});

record("a first deploy fails at its first step", async (s, { local }) => {
  local.fail({ decky: "web", verb: "create", slug: "" }, "no address is left");
  await s.apply(redisOnly);
});

record("a first deploy fails and is kept", async (s, { local }) => {
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  await s.apply(redisOnly, keep);
  await local.look("web");
  await s.note("after a drift check");
  await s.add("web", "http");
});

record("a first deploy fails and its removal fails too", async (s, { local }) => {
  local.fail({ decky: "unremovable", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  local.fail({ decky: "unremovable", verb: "stop", slug: "redis" }, "it does not stop");
  await s.apply({ unremovable: { services: ["redis"] } });
});

record("a failed change is kept and held until the next change", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  await s.add("web", "ssh", undefined, keep);
  local.alter("web", "ssh", { status: "exited", exitCode: 2 });
  await local.look("web");
  await s.note("seen by a drift check, and not repaired");
  await s.add("web", "http");
  await local.look("web");
});

record("a kept failure is mended by a new setting", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "exited with code 1");
  await s.update("web", "redis", { config: { maxmemory_mb: 96 }, apply: true }, keep);
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true });
});

record("a kept failure is restored to the last good revision", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "create", slug: "ssh" }, "no such image");
  await s.add("web", "ssh", undefined, keep);
  await s.restore("web", 1);
});

record("the undo of an added service fails too", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  local.fail({ decky: "web", verb: "stop", slug: "ssh" }, "it does not stop", { outputTail: ["busy"] });
  await s.add("web", "ssh");
});

record("the undo of new settings fails too and the next change goes on from there", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "exited with code 1", { times: 2 });
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true });
  await s.note("the undo failed");
  await s.add("web", "http");
});

record("a teardown fails and is asked for again", async (s, { local }) => {
  await s.deploy({ stuck: { services: ["redis"] } });
  local.fail({ decky: "stuck", verb: "stop", slug: "redis" }, "it does not stop");
  await s.teardown("stuck");
  await s.teardown("stuck");
});

record("a changed decky fails in a fleet and goes back", async (s, { local }) => {
  await s.deploy({ web: { services: { redis: { maxmemory_mb: 32 }, http: {} } } });
  local.fail({ decky: "web", verb: "create", slug: "ssh" }, "no such image");
  await s.apply({ web: { services: { redis: { maxmemory_mb: 48 }, ssh: {} } } });
});

record("a redeployed decky fails and is the machine again that it was", async (s, { local }) => {
  await s.deploy({ web: { services: ["redis"], hostname: "front" } });
  local.fail({ decky: "web", verb: "recreate", slug: "" }, "no such image");
  await s.apply({ web: { services: ["redis"], hostname: "back" } });
});

record("an engine that goes away in the undo is waited for", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  local.throwAt({ decky: "web", verb: "stop", slug: "ssh" }, engineAway());
  await s.untilEnded(await s.add("web", "ssh", undefined, later));
});

record("an apply ends with an unexpected error", async (s, { local }) => {
  await s.deploy(redisOnly);
  local.throwAt({ decky: "web", verb: "create", slug: "ssh" }, new Error("a defect"));
  await s.untilEnded(await s.add("web", "ssh", undefined, later));
});
