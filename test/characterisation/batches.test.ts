import { useStage } from "./support/record.ts";
import { later, type Options } from "./support/situation.ts";

/** Many changes in one request. One after another, so that the record is the same each time. */
const record = useStage(["edge-1"]);

const three = { web: { services: ["redis"] }, db: { services: ["redis"] }, mail: { services: ["redis"] } };
const add = (decky: string, service: string) => ({
  change: { case: "add" as const, value: { decky: { name: decky }, service } },
});
const addTo = (decky: string | undefined, service: string, options: Options) => ({
  change: { case: "add" as const, value: { ...(decky === undefined ? {} : { decky: { name: decky } }), service, options } },
});
const remove = (decky: string, service: string) => ({
  change: { case: "remove" as const, value: { decky: { name: decky }, service } },
});
const set = (decky: string, service: string, config: Record<string, number>) => ({
  change: { case: "update" as const, value: { decky: { name: decky }, service, config, apply: true } },
});

record("a batch of changes is made", async (s) => {
  await s.deploy(three);
  await s.batch("add, remove, update", {
    changes: [add("web", "ssh"), remove("db", "redis"), set("mail", "redis", { maxmemory_mb: 48 })],
    parallel: 1,
    options: { reason: "ticket 1" },
  });
});

record("a batch selects its deckies", async (s) => {
  await s.deploy(three);
  await s.batch("add to all that fit", {
    changes: [{ change: { case: "add", value: { service: "ssh" } } }],
    select: "service=redis,name!=mail",
    parallel: 1,
  });
});

record("some changes of a batch are refused", async (s) => {
  await s.deploy(three);
  await s.batch("one is there, one is not", {
    changes: [add("web", "redis"), remove("db", "http"), add("mail", "ssh")],
    parallel: 1,
  });
});

record("a change of a batch fails on its host", async (s, { local }) => {
  await s.deploy(three);
  local.fail({ decky: "db", verb: "create", slug: "ssh" }, "no such image");
  await s.batch("add to each", { changes: [add("web", "ssh"), add("db", "ssh"), add("mail", "ssh")], parallel: 1 });
});

record("a batch stops after enough failures", async (s) => {
  await s.deploy(three);
  await s.batch("all are there", {
    changes: [add("web", "redis"), add("db", "redis"), add("mail", "ssh")],
    parallel: 1,
    maxFailures: 2,
  });
});

record("several changes of one decky in a batch", async (s) => {
  await s.deploy(three);
  await s.batch("in their order", { changes: [add("web", "ssh"), remove("web", "redis"), add("web", "http")], parallel: 1 });
});

record("a batch is planned", async (s) => {
  await s.deploy(three);
  await s.batch("plans alone", {
    changes: [add("web", "ssh"), remove("db", "redis"), add("mail", "redis")],
    parallel: 1,
    options: { dryRun: true },
  });
});

record("a batch with the same request id again", async (s) => {
  await s.deploy(three);
  const request = { changes: [add("web", "ssh"), add("db", "redis")], parallel: 1, options: { requestId: "b-same" } };
  await s.batch("first", request);
  await s.batch("again", request);
  await s.batch("another one with that id", { ...request, changes: [add("web", "http")] });
});

record("a batch that nobody waits for", async (s, { local }) => {
  await s.deploy(three);
  const hold = local.hold({ decky: "db", verb: "create", slug: "ssh" });
  const held = local.hold({ decky: "web", verb: "create", slug: "ssh" });
  await s.batch("stored alone", { changes: [add("web", "ssh"), add("db", "ssh")], parallel: 1, options: later });
  hold.release();
  held.release();
});

record("a batch with a host that is away", async (s, stage) => {
  await s.deploy({ ...three, far: { services: ["redis"], host: "edge-1" } });
  const worker = stage.worker("edge-1");
  await worker.cut();
  await s.batch("stored alone", { changes: [add("far", "ssh")], parallel: 1, options: later });
  await worker.heal();
});

record("a batch is cancelled", async (s, { local }) => {
  await s.deploy(three);
  const holds = ["web", "db"].map((decky) => local.hold({ decky, verb: "create", slug: "ssh" }));
  await s.batch("stored alone", { changes: [add("web", "ssh"), add("db", "ssh")], parallel: 1, options: later });
  for (const hold of holds) await hold.reached;
  const [batch] = await s.all();
  for (const part of await s.parts(batch)) await s.untilStep(part, "create", "ssh");
  await s.cancel(batch, "not now");
});

record("batches that cannot be are refused", async (s) => {
  await s.deploy(three);
  await s.batch("nothing", {});
  await s.batch("an unknown service", { changes: [add("web", "gopher")] });
  await s.batch("a decky besides a selection", { changes: [add("web", "ssh")], select: "name=web" });
  await s.batch("a plan for many", { changes: [add("web", "ssh")], options: { expectedPlan: "0".repeat(32) } });
  const expecting = { expectedPlan: "0".repeat(32) };
  await s.batch("a plan with a selection", { changes: [addTo(undefined, "ssh", expecting)], select: "name=web" });
  await s.batch("a plan that another change outdates", { changes: [addTo("web", "ssh", expecting), add("web", "http")] });
  await s.batch("an option of one change that is for all", { changes: [addTo("web", "ssh", { dryRun: true })] });
});

record("changes of a batch carry their own plans", async (s) => {
  await s.deploy(three);
  const plan = (decky: string) => s.plan(`adding ssh to ${decky}`, (options) => s.add(decky, "ssh", undefined, options));
  const [web, db] = [await plan("web"), await plan("db")];
  await s.add("db", "http");
  await s.batch("one of them is not right any more", {
    changes: [
      addTo("web", "ssh", { expectedPlan: web }),
      addTo("db", "ssh", { expectedPlan: db }),
      addTo("mail", "ssh", { expectedRevision: 7 }),
    ],
    parallel: 1,
  });
});
