import { useStage } from "./support/record.ts";
import { keep, later, type Situation } from "./support/situation.ts";
import type { Stage } from "./support/stage.ts";

/** Changes that wait behind one that runs: they go together, and end each for itself. */
const record = useStage();

/** Holds the decky at a first change; release it when the others are stored. */
async function occupy(s: Situation, { local }: Stage) {
  const hold = local.hold({ decky: "web", verb: "create", slug: "telnet" });
  const first = await s.add("web", "telnet", undefined, later);
  await s.untilStep(first, "create", "telnet");
  return { release: hold.release, first };
}

const before = { web: { services: { redis: { maxmemory_mb: 32 } } } };

record("several waiting changes are made in one apply", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, { ...later, reason: "second" });
  await s.add("web", "http", undefined, { ...later, reason: "third" });
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, { ...later, reason: "fourth" });
  release();
});

record("a later change takes the place of a waiting one", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, later);
  await s.update("web", "redis", { config: { maxmemory_mb: 64 }, apply: true }, later);
  release();
});

record("a service is added and removed again while both wait", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  await s.remove("web", "ssh", later);
  release();
});

record("settings are changed and changed back while both wait", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, later);
  await s.update("web", "redis", { config: { maxmemory_mb: 32 }, apply: true }, later);
  release();
});

record("one of several waiting changes fails and the others go on", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  await s.add("web", "http", undefined, later);
  stage.local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  release();
});

record("one of several waiting changes fails and keeps", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, { ...later, ...keep });
  await s.add("web", "http", undefined, later);
  stage.local.fail({ decky: "web", verb: "create", slug: "ssh" }, "no such image");
  release();
});

record("two of several waiting changes fail one after another", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  await s.add("web", "http", undefined, later);
  await s.add("web", "ftp", undefined, later);
  stage.local.fail({ decky: "web", verb: "create", slug: "ssh" }, "no such image for ssh");
  stage.local.fail({ decky: "web", verb: "create", slug: "http" }, "no such image for http");
  release();
});

record("a service that nobody asked for fails in an apply of several changes", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  await s.add("web", "http", undefined, later);
  stage.local.alter("web", "redis", { status: "exited", exitCode: 1 });
  stage.local.fail({ decky: "web", verb: "start", slug: "redis" }, "it does not start");
  release();
});

record("the running change fails while another waits", async (s, stage) => {
  await s.deploy(before);
  stage.local.fail({ decky: "web", verb: "settle", slug: "telnet" }, "does not listen on 23/tcp");
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  release();
});

record("the running change fails while a later one replaces it", async (s, { local }) => {
  await s.deploy(before);
  const hold = local.hold({ decky: "web", verb: "recreate", slug: "redis" });
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "exited with code 1");
  const first = await s.update("web", "redis", { config: { maxmemory_mb: 48 }, apply: true }, later);
  await s.untilStep(first, "recreate", "redis");
  await s.update("web", "redis", { config: { maxmemory_mb: 64 }, apply: true }, later);
  hold.release();
});

record("a change comes while the failure of another is undone", async (s, { local }) => {
  await s.deploy(before);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  const hold = local.hold({ decky: "web", verb: "stop", slug: "ssh" });
  const first = await s.add("web", "ssh", undefined, later);
  await s.untilStep(first, "stop", "ssh");
  await s.add("web", "http", undefined, later);
  await s.note("the first change is being undone");
  hold.release();
});

record("a change that comes in the middle of an undo fails as well", async (s, { local }) => {
  await s.deploy(before);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  const hold = local.hold({ decky: "web", verb: "stop", slug: "ssh" });
  const first = await s.add("web", "ssh", undefined, later);
  await s.untilStep(first, "stop", "ssh");
  await s.add("web", "http", undefined, later);
  local.fail({ decky: "web", verb: "create", slug: "http" }, "no such image");
  hold.release();
});

record("a teardown waits behind a running change", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.teardown("web", later);
  release();
});

record("a teardown waits behind a change that fails", async (s, stage) => {
  await s.deploy(before);
  stage.local.fail({ decky: "web", verb: "settle", slug: "telnet" }, "does not listen on 23/tcp");
  const { release } = await occupy(s, stage);
  await s.teardown("web", later);
  release();
});

record("a change is stored while a first deploy runs", async (s, { local }) => {
  const hold = local.hold({ decky: "web", verb: "create", slug: "redis" });
  const deploy = await s.apply(before, later);
  await hold.reached;
  await s.add("web", "http", undefined, later);
  hold.release();
  await s.untilEnded(deploy);
});

record("a first deploy fails while a change waits for it", async (s, { local }) => {
  const hold = local.hold({ decky: "web", verb: "create", slug: "redis" });
  local.fail({ decky: "web", verb: "settle", slug: "redis" }, "does not listen on 6379/tcp");
  const deploy = await s.apply(before, later);
  await hold.reached;
  await s.add("web", "http", undefined, later);
  hold.release();
  await s.untilEnded(deploy);
});

record("a fleet changes a decky that has a change waiting", async (s, stage) => {
  await s.deploy(before);
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, later);
  await s.apply({ web: { services: { redis: { maxmemory_mb: 64 }, ftp: {} } } }, later);
  release();
});

record("a waiting change carries a plan together with another", async (s, stage) => {
  await s.deploy(before);
  const expectedPlan = await s.plan("adding ssh", (options) => s.add("web", "ssh", undefined, options));
  const { release } = await occupy(s, stage);
  await s.add("web", "ssh", undefined, { ...later, expectedPlan });
  release();
});
