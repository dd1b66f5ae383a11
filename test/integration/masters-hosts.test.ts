import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationKind, OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type LabMaster, type LabMasters, useLabMasters } from "../support/lab-masters.ts";
import { fleetOn } from "../support/several-masters.ts";

/** A host is another master's so long after its own was lost, at most. */
const takeoverMs = 15_000;
/** Where each decky is. */
const places = { web: "edge-1", api: "edge-1", far: "edge-2", one: "m1", two: "m2" };

describe("two masters on machines of their own, with workers on others", () => {
  let site: LabMasters;
  let first: LabMaster;
  let second: LabMaster;

  beforeAll(async () => {
    site = await useLabMasters(["redis", "http"]);
    [first, second] = site.masters;
    await first.clients.fleet.applyFleet(fleetOn(places, ["redis"]));
  });
  afterAll(() => site?.dispose());

  const leaseOf = async (host: string) => {
    const text = `SELECT lease.epoch, masters.host AS master FROM host_leases AS lease JOIN masters USING (instance)
      WHERE lease.host = $1 AND lease.held`;
    return (await site.query<{ epoch: number; master: string }>(text, [host]))[0];
  };
  const isHeldBy = async (host: string, { name, clients }: LabMaster) => {
    const state = (await clients.swarm.getHost({ name: host }).catch(() => undefined))?.host?.state;
    return state === HostState.CONNECTED && (await leaseOf(host))?.master === name;
  };
  const engines = () => [...site.masters, ...site.workers].map(({ name, host }) => ({ name, docker: host.docker }));
  const dockerOf = (name: string) => engines().find((each) => each.name === name)?.docker ?? expect.fail(name);
  /** Every container of every host: `edge-1/web-redis`, with its id and when it was started. */
  const containers = async () => {
    const found = new Map<string, string>();
    for (const { name, docker } of engines()) {
      const ids = await docker(["ps", "-aq", "--no-trunc"]);
      const format = "{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}} {{.State.Status}}";
      for (const line of ids.length === 0 ? [] : await docker(["inspect", "--format", format, ...ids])) {
        const [container = "", ...rest] = line.split(" ");
        found.set(`${name}${container}`, rest.join(" "));
      }
    }
    return found;
  };
  /** How often a container was started since then, as its engine tells. */
  const starts = async (host: string, container: string, since: number) => {
    const until = String(Math.ceil(Date.now() / 1_000));
    const filters = ["--filter", `container=${container}`, "--filter", "event=start"];
    return (await dockerOf(host)(["events", "--since", String(since / 1_000), "--until", until, ...filters])).length;
  };
  const add = (master: LabMaster, name: string, requestId: string, wait: Wait) =>
    master.clients.mutations.addService({ decky: { name }, service: "http", options: { requestId, wait } });
  /** All that is stored of what was done to a decky. */
  const recordOf = async (name: string) => {
    const of = (text: string) => site.query(text, [name]);
    return {
      operations: await of("SELECT * FROM operations WHERE decky_name = $1 ORDER BY id"),
      steps: await of(`SELECT * FROM operation_steps WHERE operation_id IN (SELECT id FROM operations WHERE decky_name = $1)
        ORDER BY operation_id, attempt, number`),
      revisions: await of(
        `SELECT * FROM decky_revisions WHERE decky_id = (SELECT id FROM deckies WHERE name = $1) ORDER BY number`,
      ),
      events: await of("SELECT * FROM outbox WHERE key = $1 ORDER BY position"),
    };
  };
  const expectEndedOnce = async (name: string, requestId: string) => {
    const rows = await site.query<{ id: string; state: string }>("SELECT id, state FROM operations WHERE request_id = $1", [
      requestId,
    ]);
    expect(rows.map(({ state }) => state)).toEqual(["succeeded"]);
    const told = `SELECT payload ->> 'state' AS state FROM outbox WHERE topic = 'decky.' || $1 || '.lifecycle'
      AND payload ->> 'operation' = $2`;
    expect(await site.query(told, [name, rows[0]?.id])).toEqual([{ state: "succeeded" }]);
    return rows[0]?.id ?? "";
  };

  it("each have the workers that came to them, and any of them is asked for all", async () => {
    expect((await leaseOf("edge-1"))?.master).toBe("m1");
    expect((await leaseOf("edge-2"))?.master).toBe("m2");
    const expected = Object.entries(places).flatMap(([name, host]) => [`${host}/${name}`, `${host}/${name}-redis`]);
    expect([...(await containers()).keys()].sort()).toEqual(expected.sort());
  });

  it("one stands still in the middle of a change: when it goes on without its worker, it does no harm, and says so", async () => {
    const lease = await leaseOf("edge-1");
    const began = Date.now();
    await site.gate.close("api");
    const ask = async (master: LabMaster) => (await add(master, "api", "pause", Wait.ACCEPTED)).operation;
    const asked = await ask(first);
    await site.gate.reached("api");
    const since = performance.now();
    first.pause();
    try {
      // What its worker had begun goes on there; what comes of it has nobody to hear it.
      await site.gate.open("api");
      const ended = await eventually(async () => {
        const operation = await ask(second);
        return operation !== undefined && operation.state > OperationState.RUNNING && operation;
      }, takeoverMs);
      expect(performance.now() - since).toBeLessThan(takeoverMs);
      expect(ended).toMatchObject({ id: asked?.id, state: OperationState.SUCCEEDED });
    } finally {
      if ((await leaseOf("edge-1"))?.master !== "m2") first.resume();
    }
    expect(asked?.id).toBe(await expectEndedOnce("api", "pause"));
    expect(await leaseOf("edge-1")).toEqual({ epoch: (lease?.epoch ?? 0) + 1, master: "m2" });
    const before = await containers();
    const stored = await recordOf("api");
    first.resume();
    await eventually(async () => first.log.some(({ msg }) => msg === "what was done here does not count"));
    const isHeardOf = "SELECT FROM masters WHERE host = 'm1' AND seen_at > now() - interval '3 s'";
    await eventually(async () => (await site.query(isHeardOf)).length === 1);
    // It is a master as before, and knows what became of the change.
    expect(await ask(first)).toMatchObject({ id: asked?.id, state: OperationState.SUCCEEDED });
    expect(await recordOf("api")).toEqual(stored);
    expect(await containers()).toEqual(before);
    expect(await starts("edge-1", "api-http", began)).toBe(1);
    expect((await leaseOf("edge-1"))?.master).toBe("m2");
  });

  it("list and remove what belongs to nothing of each host alone, whichever of them is asked", async () => {
    const before = await containers();
    const hosts = ["m1", "m2", "edge-1"];
    for (const host of hosts) {
      const docker = dockerOf(host);
      const of = Object.entries(places).find(([, place]) => place === host)?.[0] ?? "";
      const format = '{{index .Config.Labels "decnet.instance"}} {{.Image}}';
      const [line = ""] = await docker(["inspect", "--format", format, `${of}-redis`]);
      const [installation = "", image = ""] = line.split(" ");
      const labels = ["--label", `decnet.instance=${installation}`, "--label", "decnet.decky=fleet/gone"];
      await docker(["create", "--name", `gone-of-${host}`, ...labels, image, "true"]);
    }
    const listed = async ({ clients }: LabMaster) => {
      const found = await Promise.all(hosts.map(async (name) => (await clients.swarm.listOrphans({ name })).orphans));
      return found.map((orphans) => orphans.map(({ name }) => name));
    };
    const all = hosts.map((host) => [`gone-of-${host}`]);
    expect(await listed(first)).toEqual(all);
    // It learns within seconds that the first one is back.
    expect(await eventually(() => listed(second).catch(() => undefined))).toEqual(all);
    // Who has the host removes it, once, whoever is asked.
    const removed = await Promise.all(
      [first, second].map(({ clients }) => clients.swarm.removeOrphans({ name: "m2", options: { requestId: "orphans" } })),
    );
    expect(new Set(removed.map(({ operation }) => operation?.id)).size).toBe(1);
    expect(removed[0]?.operation).toMatchObject({
      ...{ kind: OperationKind.REMOVE_ORPHANS, host: "m2", state: OperationState.SUCCEEDED },
      steps: [{ target: "gone-of-m2" }],
    });
    expect(await listed(second)).toEqual([["gone-of-m1"], [], ["gone-of-edge-1"]]);
    await second.clients.swarm.removeOrphans({ name: "m1" });
    const { operation: worker } = await first.clients.swarm.removeOrphans({ name: "edge-1" });
    expect(worker).toMatchObject({ state: OperationState.SUCCEEDED, steps: [{ target: "gone-of-edge-1" }] });
    expect(await listed(first)).toEqual([[], [], []]);
    expect(await containers()).toEqual(before);
  });

  it("one is killed in the middle of a change: the other has its worker, ends the change once, and answers for it", async () => {
    const before = await containers();
    const lease = await leaseOf("edge-1");
    const began = Date.now();
    await site.gate.close("web");
    const call = add(second, "web", "kill", Wait.APPLIED).catch(() => "cut off");
    await site.gate.reached("web");
    const since = performance.now();
    await second.kill();
    expect(await call).toBe("cut off");
    await eventually(() => isHeldBy("edge-1", first), takeoverMs);
    await site.gate.open("web");
    // Who did not hear of the end asks another master.
    const { operation } = await add(first, "web", "kill", Wait.APPLIED);
    expect(performance.now() - since).toBeLessThan(takeoverMs);
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, host: "edge-1" });
    expect(operation?.id).toBe(await expectEndedOnce("web", "kill"));
    expect(await leaseOf("edge-1")).toEqual({ epoch: (lease?.epoch ?? 0) + 1, master: "m1" });
    const { "edge-1/web-http": made, ...rest } = Object.fromEntries(await containers());
    expect(made).toMatch(/ 0 running$/);
    expect(rest).toEqual(Object.fromEntries(before));
    expect(await starts("edge-1", "web-http", began)).toBe(1);
  });

  it("says of the own host of one that is gone that nothing is known of it, until it is back", async () => {
    const two = async () => (await first.clients.fleet.getDecky({ decky: { name: "two" } })).decky;
    const unknown = await eventually(async () => {
      const decky = await two();
      return decky?.state === DeckyState.UNKNOWN && decky;
    }, 30_000);
    expect(unknown.message).toMatch(/^the master of host m2 is not heard of since 20/);
    const before = await containers();
    await second.start();
    await eventually(async () => (await two())?.state === DeckyState.RUNNING);
    expect(await containers()).toEqual(before);
  });

  it("rotate each decky once, also those of hosts that changed their master", async () => {
    const rotate = { every: { seconds: 3_600n }, services: ["http", "redis"] };
    const { fleet } = fleetOn(places, ["redis"]);
    await first.clients.fleet.applyFleet({ fleet: { ...fleet, rotate } });
    const names = Object.keys(places).sort();
    const rotated = () =>
      site.query<{ decky: string; states: string[] }>(`SELECT decky_name AS decky, array_agg(DISTINCT state) AS states,
        count(*)::int AS operations, count(DISTINCT revision.number)::int AS revisions
        FROM operations LEFT JOIN decky_revisions AS revision ON revision.operation_id = operations.id
        WHERE kind = 'rotate_services' GROUP BY decky_name ORDER BY decky_name`);
    const makeDue = () => site.query("UPDATE rotations SET next_at = now() - interval '1 minute'");
    const untilEachHas = async (operations: number) => {
      const wanted = names.map((decky) => ({ decky, states: ["succeeded"], operations, revisions: operations }));
      await eventually(async () => {
        const isOver = (await rotated()).every(({ states }) => states.every((state) => state === "succeeded"));
        const open = "SELECT FROM rotations WHERE operation_id IS NOT NULL OR next_at <= now()";
        return isOver && (await site.query(open)).length === 0;
      }, 40_000);
      expect(await rotated()).toEqual(wanted);
    };
    await makeDue();
    await untilEachHas(1);
    // None but what was rotated was touched, and each host has what is wanted of it.
    for (const [name, host] of Object.entries(places)) {
      const { decky } = await second.clients.fleet.getDecky({ decky: { name } });
      const wanted = [`${host}/${name}`, ...(decky?.services ?? []).map(({ slug }) => `${host}/${name}-${slug}`)];
      const found = [...(await containers()).keys()].filter((each) => each.split("/")[1]?.startsWith(name));
      expect(found.sort()).toEqual(wanted.sort());
    }
  });
});
