import { useStage } from "./support/record.ts";
import { later } from "./support/situation.ts";

/** A master that ends in the middle of something and starts again. */
const record = useStage(["edge-1"]);

const before = { web: { services: { redis: { maxmemory_mb: 32 } } } };

record("the master starts again in the middle of a change", async (s, { master, local }) => {
  await s.deploy(before);
  local.hold({ decky: "web", verb: "create", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.add("web", "http", undefined, later);
  await s.untilStep(add, "create", "ssh");
  await master.restart();
});

record("the master starts again in the middle of a change on a worker", async (s, stage) => {
  await s.deploy({ web: { ...before.web, host: "edge-1" } });
  const hold = stage.worker("edge-1").engine.hold({ decky: "web", verb: "create", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "create", "ssh");
  await stage.master.restart(async () => hold.release());
});

record("the master starts again in the middle of an undo", async (s, { master, local }) => {
  await s.deploy(before);
  local.fail({ decky: "web", verb: "settle", slug: "ssh" }, "does not listen on 22/tcp");
  local.hold({ decky: "web", verb: "stop", slug: "ssh" });
  const add = await s.add("web", "ssh", undefined, later);
  await s.untilStep(add, "stop", "ssh");
  await master.restart();
});

record("the master starts again in the middle of a teardown", async (s, { master, local }) => {
  await s.deploy(before);
  local.hold({ decky: "web", verb: "stop", slug: "" });
  const teardown = await s.teardown("web", later);
  await s.untilStep(teardown, "stop", "");
  await master.restart();
});

record("the master starts again in the middle of a first deploy", async (s, { master, local }) => {
  local.hold({ decky: "web", verb: "create", slug: "redis" });
  const deploy = await s.apply(before, later);
  const [part] = await s.parts(deploy);
  await s.untilStep(part, "create", "redis");
  await master.restart();
});
