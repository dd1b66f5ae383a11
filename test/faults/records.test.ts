import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { Event } from "@decnet/contract/gen/decnet/v1/event_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("what happened", () => {
  let master: TestMaster;
  let decky: { name: string };

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });
  afterAll(() => master.dispose());

  /** Facts about the decky after a cursor, up to the newest that is there now. */
  const read = async (cursor: string, isLast: (event: Event) => boolean) => {
    const seen: Event[] = [];
    const stop = new AbortController();
    const patterns = [`decky.${decky.name}.>`];
    for await (const { item } of master.events.subscribe({ patterns, cursor }, { signal: stop.signal, timeoutMs: 30_000 })) {
      if (item.case !== "event") continue;
      seen.push(item.value);
      if (isLast(item.value)) break;
    }
    stop.abort();
    return seen;
  };
  const words = (events: Event[]) => events.map((event) => event.topic.slice(`decky.${decky.name}.`.length));

  it("is on record with who, what, on what and with which end, refusals too (W-47)", async () => {
    const clientOf = async (name: string, role: Role) => {
      const { secret } = await master.access.createToken({ name, role });
      const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token: secret });
      return { mutations: createClient(MutationService, transport), close };
    };
    const maria = await clientOf("maria", Role.OPERATOR);
    const vera = await clientOf("vera", Role.VIEWER);
    const password = "not for the record";
    const accepted = await maria.mutations.addService({
      decky,
      service: "ssh",
      config: { password },
      options: { reason: "ticket 7" },
    });
    await expect(maria.mutations.addService({ decky, service: "ssh", config: { password } })).rejects.toThrow("already");
    await expect(maria.mutations.addService({ decky, service: "quits" })).rejects.toThrow("quits exited");
    await expect(vera.mutations.removeService({ decky, service: "ssh" })).rejects.toThrow();
    maria.close();
    vera.close();
    const failed = (await master.operations.listOperations({ filter: `decky=${decky.name},service=quits` })).operations[0]?.id;
    const { entries } = await master.access.listAudit({ filter: `target=${decky.name}/*` });
    expect(failed).toMatch(/^op-/);
    expect(
      entries
        .map(({ actor, action, target, outcome, operation, reason }) => [actor, action, target, outcome, operation, reason])
        .reverse(),
    ).toEqual([
      ["maria", "decnet.v1.MutationService/AddService", `${decky.name}/ssh`, "accepted", accepted.operation?.id, "ticket 7"],
      ["maria", "decnet.v1.MutationService/AddService", `${decky.name}/ssh`, "SERVICE_ALREADY_PRESENT", "", ""],
      ["maria", "decnet.v1.MutationService/AddService", `${decky.name}/quits`, "APPLY_FAILED", failed, ""],
      ["vera", "decnet.v1.MutationService/RemoveService", `${decky.name}/ssh`, "NOT_ALLOWED", "", ""],
    ]);
    const all = await master.access.listAudit({ pageSize: 1_000 });
    expect(all.entries.map((entry) => [entry.actor, entry.action.split("/")[1], entry.target])).toContainEqual([
      "admin",
      "ApplyFleet",
      "fleet",
    ]);
    const text = JSON.stringify(all, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    expect(text).not.toContain(password);
    // The operation itself says the same.
    const { operation } = await master.operations.getOperation({ id: accepted.operation?.id ?? "" });
    expect([operation?.actor, operation?.reason, operation?.service]).toEqual(["maria", "ticket 7", "ssh"]);
  });

  it("is told without a gap or a repetition, over a restart of the master too (W-53)", async () => {
    const added = await master.mutations.addService({ decky, service: "http" });
    const first = await read("0", endOf(added.operation));
    const cursor = first.at(-1)?.cursor ?? "";
    // Nobody listens to these; then the master goes and comes back, and more happens.
    await master.mutations.removeService({ decky, service: "http" });
    await master.restart();
    const { operation: last } = await master.mutations.addService({ decky, service: "telnet" });
    const rest = await read(cursor, endOf(last));
    const change = (what: string) => ["state", what, "lifecycle", "state"];
    expect(words(rest)).toEqual([...change("service_removed"), ...change("service_added")]);
    const whole = await read("0", endOf(last));
    expect([...first, ...rest].map((event) => event.id)).toEqual(whole.map((event) => event.id));
    expect(new Set(whole.map((event) => event.id)).size).toBe(whole.length);
  });

  it("includes every change of state, each from the one before (W-53)", async () => {
    // A change that works, one that fails, drift with its repair, a change of everything, and the end.
    await master.mutations.removeService({ decky, service: "telnet" });
    await expect(master.mutations.addService({ decky, service: "quits" })).rejects.toThrow();
    const [failed] = (await master.operations.listOperations({ filter: `decky=${decky.name},service=quits` })).operations;
    const failedAt = (await read("0", endOf(failed))).at(-1)?.cursor ?? "";
    await execa("docker", ["rm", "-f", `${decky.name}-redis`]);
    const repaired = await read(failedAt, isState("running"));
    expect(repaired.filter(isAnyState).map((event) => event.data?.["state"])).toEqual(["degraded", "changing", "running"]);
    await deploy(master, { a: ["redis", "http"] });
    expect((await master.fleet.getDecky({ decky })).decky?.state).toBe(DeckyState.RUNNING);
    await master.fleet.teardownDecky({ decky });
    const states = (await read("0", isState("gone"))).filter(isAnyState);
    expect(states[0]?.data?.["previous_state"]).toBe("pending");
    for (const [index, event] of states.entries())
      if (index > 0) expect(event.data?.["previous_state"]).toBe(states[index - 1]?.data?.["state"]);
    expect(states.filter(isState("changing")).length).toBeGreaterThan(6);
  });

  const isAnyState = (event: Event) => event.topic.endsWith(".state");
  const isState = (state: string) => (event: Event) => isAnyState(event) && event.data?.["state"] === state;
  /** The last fact of the transaction that ended an operation: the state of its decky. */
  function endOf(operation: Operation | undefined) {
    let ended = false;
    return (event: Event) => {
      ended ||= event.topic.endsWith(".lifecycle") && event.data?.["operation"] === operation?.id;
      return ended && isAnyState(event);
    };
  }
});
