import { describe, expect, it } from "vitest";
import { endEvents, hostEvent, operationEvents, stateEvent } from "./events.ts";
import { emptyPlan, makeOperation, type NewOperation } from "./operation.ts";

const field = { key: "port", action: "changed", before: "1", after: "2", secret: false } as const;
const plan = emptyPlan({ changes: [{ service: "ssh", action: "changed", fields: [field] }] });
const error = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: true } as const;
const services = [
  { slug: "ssh", config: { password: "s3cret", port: 22 } },
  { slug: "redis", config: {} },
];

const fields = [
  { key: "port", secret: false },
  { key: "password", secret: true },
];
const catalog = { services: new Map([["ssh", { fields }]]) };

const eventsOf = (more: Partial<NewOperation>, known: typeof catalog | undefined = catalog) =>
  operationEvents(
    makeOperation({
      createdAt: new Date(0),
      ...{
        id: "op-1",
        kind: "add_service",
        actor: "ann",
        deckyName: "web",
        service: "ssh",
        revision: 2,
        state: "succeeded",
        plan,
      },
      ...more,
    }),
    services,
    known,
  );

describe("an operation that ended is told", () => {
  const lifecycle = "decky.web.lifecycle";
  it.each<[name: string, more: Partial<NewOperation>, topics: string[]]>([
    ["an added service", { kind: "add_service" }, ["decky.web.service_added", lifecycle]],
    ["a removed service", { kind: "remove_service" }, ["decky.web.service_removed", lifecycle]],
    ["changed settings", { kind: "update_service_config" }, ["decky.web.service_config_changed", lifecycle]],
    ["a failed change: no service was added", { state: "failed", error }, [lifecycle]],
    ["a superseded change: no service was added", { state: "superseded" }, [lifecycle]],
    ["a cancelled change", { state: "cancelled" }, [lifecycle]],
    ["a change of everything", { kind: "restore_revision", service: "" }, [lifecycle]],
    ["a deploy", { kind: "deploy_decky", service: "" }, [lifecycle]],
    ["a change of many deckies: its parts tell themselves", { kind: "apply_fleet", deckyName: "" }, []],
  ])("%s", (_name, more, topics) => expect(eventsOf(more).map(({ topic }) => topic)).toEqual(topics));
});

it("the end of a change of many deckies is told once, and only its end", () => {
  const parent = makeOperation({ id: "op-2", kind: "apply_fleet", actor: "ann", createdAt: new Date(0), requestId: "r-1" });
  expect(endEvents(parent)).toEqual([]);
  const payload = { operation: "op-2", kind: "apply_fleet", state: "failed", actor: "ann", topology_id: null, host: "" };
  expect(endEvents({ ...parent, state: "failed", error })).toEqual([
    {
      topic: "operation.op-2.ended",
      key: "operation.op-2",
      payload: { ...payload, reason: "APPLY_FAILED", message: "no", request_id: "r-1" },
    },
  ]);
  expect(endEvents({ ...parent, deckyId: "d-1", state: "failed" })).toEqual([]);
});

it("events of one decky keep their order: they have one key", () => {
  expect(eventsOf({}).map(({ key }) => key)).toEqual(["web", "web"]);
});

it("who adds a service tells which there are, who changes one tells its settings; nobody tells secrets", () => {
  const common = { decky_name: "web", topology_id: null, operation: "op-1", actor: "ann", revision: 2, service_name: "ssh" };
  expect(eventsOf({})[0]?.payload).toEqual({ ...common, services: ["ssh", "redis"] });
  const changed = { ...common, keys: ["port"], recreated: false };
  const kind = "update_service_config";
  expect(eventsOf({ kind })[0]?.payload).toEqual({ ...changed, service_config: { password: "[redacted]", port: 22 } });
  const unknown = eventsOf({ kind }, { services: new Map() })[0]?.payload;
  expect(unknown).toEqual({ ...changed, service_config: { password: "[redacted]", port: "[redacted]" } });
  expect(JSON.stringify([eventsOf({}), eventsOf({ kind })])).not.toContain("s3cret");
});

it.each([
  ["recreated", true],
  ["created", true],
  ["restarted", false],
  ["unchanged", false],
] as const)("a container that is %s is a new one: %s", (verdict, isNew) => {
  const facts = { id: "1", startedAt: "", restartCount: 0 };
  const container = { name: "web-ssh", service: "ssh", before: facts, after: facts, verdict, planned: true };
  const receipt = {
    containers: [container, { ...container, service: "", verdict: "recreated" as const }],
    othersUnchanged: true,
  };
  expect(eventsOf({ kind: "update_service_config", receipt })[0]?.payload).toMatchObject({ recreated: isNew });
});

it("an end tells its kind, its state, and why", () => {
  const [event] = eventsOf({ state: "failed", error });
  expect(event?.payload).toMatchObject({ kind: "add_service", state: "failed", reason: "APPLY_FAILED", message: "no" });
  expect(eventsOf({})[1]?.payload).toMatchObject({ state: "succeeded", reason: "", message: "" });
});

it("an operation of a topology says which", () => {
  expect(eventsOf({ scope: "t-1" })[0]?.payload).toMatchObject({ topology_id: "t-1" });
});

const decky = { name: "web", scope: "fleet", host: "edge-1", state: "running" } as const;

it("a changed state is told with the one before", () => {
  expect(stateEvent(decky, "degraded", "ssh: exited")).toEqual([
    {
      topic: "decky.web.state",
      key: "web",
      payload: {
        decky_name: "web",
        topology_id: null,
        host: "edge-1",
        state: "degraded",
        previous_state: "running",
        message: "ssh: exited",
      },
    },
  ]);
});

it("a state that stays is not told, also with another message", () => {
  expect(stateEvent(decky, "running", "other")).toEqual([]);
});

it("a host's events have a key that no decky has", () => {
  expect(hostEvent("edge-1", "unreachable", "silent")).toEqual([
    { topic: "host.edge-1.state", key: "host.edge-1", payload: { host: "edge-1", state: "unreachable", message: "silent" } },
  ]);
});
