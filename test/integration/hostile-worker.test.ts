import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AppError } from "@decnet/common/errors/app-error";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { ReportItemSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { OperationState, StepState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BareWorker, enrolBareWorker, refusalReason } from "../support/bare-worker.ts";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../support/scripted-worker.ts";
import { eventually } from "../support/use-master.ts";

const soonMs = 5_000;
const empty = { steps: [], untouched: [], risks: [], digest: "d" };

/** A real master and a real database, an honest worker, and workers that are the attacker's. */
describe("a worker that lies", () => {
  let swarm: MemorySwarm;
  let honest: ScriptedWorker;
  const bare: BareWorker[] = [];

  beforeAll(async () => {
    swarm = await useMemorySwarm({ DECNET_PARALLEL: "4" });
    honest = await joinScriptedWorker({ ...swarm, name: "honest" });
    honest.engine.watch("a");
    await apply({ a: "honest" });
  });

  afterAll(async () => {
    for (const each of bare) each.dispose();
    await honest?.stop();
    await swarm?.master.dispose();
  });

  const join = async (name: string) => {
    const worker = await enrolBareWorker({ ...swarm, name, catalogueDigest: swarm.catalog.digest });
    bare.push(worker);
    return worker;
  };
  /** All deckies of the fleet, by name, with the host of each. */
  let fleet: Record<string, string> = {};
  const apply = (more: Record<string, string>, wait = Wait.APPLIED) => {
    fleet = { ...fleet, ...more };
    const deckies = Object.entries(fleet).map(([name, host]) => ({
      name,
      services: [{ slug: "redis" }],
      placement: { where: { case: "host", value: host } } as const,
    }));
    return swarm.master.fleet.applyFleet({ fleet: { lan: swarm.master.lan, deckies }, options: { wait } });
  };
  const operationsOf = async (decky: string) =>
    (await swarm.master.operations.listOperations({ filter: `decky=${decky}`, pageSize: 100 })).operations;

  it("keeps neither the reports of others waiting nor its own end", { timeout: 60_000 }, async () => {
    const liar = await join("flood");
    const { registration } = liar.calls();
    await registration.register({ facts: liar.facts(), instanceId: "i", reportStream: "s" });
    await liar.serve({});
    const tiny = Array.from({ length: 60_000 }, (_, index) =>
      create(ReportItemSchema, {
        sequence: BigInt(index + 1),
        item: { case: "engine", value: { problem: index % 2 ? "" : "x" } },
      }),
    );
    const tooMany = Array.from({ length: 3 }).flatMap(() => tiny);
    expect(await refusalReason(registration.report({ reportStream: "s", items: tooMany }))).not.toBe("taken");
    const flood = Array.from({ length: 6 }, () =>
      refusalReason(registration.report({ reportStream: "s", instanceId: "i", items: tiny })),
    );
    honest.engine.alter("a", "redis", { restartCount: 7 });
    const since = performance.now();
    await eventually(
      async () => (await swarm.master.fleet.getDecky({ decky: { name: "a" } })).decky?.services[0]?.restartCount === 7,
    );
    expect(performance.now() - since).toBeLessThan(soonMs);
    const more = Array.from({ length: 6 }, () =>
      refusalReason(registration.report({ reportStream: "s", instanceId: "i", items: tiny })),
    );
    const begun = performance.now();
    await swarm.master.swarm.decommissionHost({ name: "flood", force: true });
    expect(performance.now() - begun).toBeLessThan(soonMs);
    await Promise.all([...flood, ...more]);
    expect(await refusalReason(liar.calls().registration.report({ reportStream: "s", items: tiny.slice(0, 1) }))).toBe(
      "CERTIFICATE_REFUSED",
    );
    honest.engine.alter("a", "redis", { restartCount: 0 });
  });

  it("has as many items of a report taken as one report may have, and sends the others again", async () => {
    const liar = await join("many");
    const { registration } = liar.calls();
    await registration.register({ facts: liar.facts(), instanceId: "i", reportStream: "s" });
    const items = Array.from({ length: 1_000 }, (_, index) =>
      create(ReportItemSchema, { sequence: BigInt(index + 1), item: { case: "gap", value: { lost: 1n } } }),
    );
    expect((await registration.report({ reportStream: "s", items })).acknowledged).toBe(200n);
    expect((await registration.report({ reportStream: "s", items: items.slice(200) })).acknowledged).toBe(400n);
    const { host } = await swarm.master.swarm.getHost({ name: "many" });
    expect(host?.message).toBe("200 reports were lost while it was away");
  });

  it("cannot date its repairs ahead of what others asked for, nor make a page of them long", async () => {
    const liar = await join("dates");
    const { registration } = liar.calls();
    await registration.register({ facts: liar.facts(), instanceId: "i", reportStream: "s" });
    await apply({ dated: "dates" }, Wait.ACCEPTED);
    const steps = Array.from({ length: 800 }, (_, number) => ({
      number,
      verb: "create",
      target: "t".repeat(1_000),
      cause: "c",
    }));
    const year9999 = { seconds: 253_402_300_000n, nanos: 0 };
    const repair = {
      decky: { name: "dated" },
      cause: "\u001b[2J",
      startedAt: year9999,
      finishedAt: year9999,
      outcome: { plan: { steps } },
    };
    for (let sequence = 1n; sequence <= 20n; sequence += 1n)
      await registration.report({
        reportStream: "s",
        items: [create(ReportItemSchema, { sequence, item: { case: "repair", value: repair } })],
      });
    await apply({ later: "honest" });
    const begun = performance.now();
    const page = await swarm.master.operations.listOperations({ pageSize: 1_000 });
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(JSON.stringify(page.operations.map(({ plan }) => plan?.text ?? "")).length).toBeLessThan(500_000);
    expect(page.operations[0]?.decky?.name).not.toBe("dated");
    const repairs = await operationsOf("dated");
    expect(repairs.length).toBeGreaterThan(10);
    for (const each of repairs) expect(Number(each.createdAt?.seconds)).toBeLessThanOrEqual(Date.now() / 1_000 + 1);
  });

  it("repairs too often to be true, and is not believed for ever", async () => {
    const liar = await join("busy");
    const { registration } = liar.calls();
    await registration.register({ facts: liar.facts(), instanceId: "i", reportStream: "s" });
    await apply({ repaired: "busy" }, Wait.ACCEPTED);
    const items = Array.from({ length: 200 }, (_, index) =>
      create(ReportItemSchema, {
        sequence: BigInt(index + 1),
        item: { case: "repair", value: { decky: { name: "repaired" }, outcome: { plan: empty } } },
      }),
    );
    expect((await registration.report({ reportStream: "s", items })).acknowledged).toBe(200n);
    expect((await operationsOf("repaired")).filter(({ actor }) => actor === "drift").length).toBeLessThanOrEqual(31);
    expect((await swarm.master.swarm.getHost({ name: "busy" })).host?.message).toContain("came too fast to be true");
  });

  it("ends no operation by what it says, and none stays open for it", async () => {
    const liar = await join("words");
    await liar.calls().registration.register({ facts: liar.facts(), instanceId: "i", reportStream: "s" });
    await liar.serve({
      async *applyDeckies({ deckies, dryRun }) {
        const decky = deckies[0]?.ref;
        yield { ...(decky === undefined ? {} : { decky }), item: { case: "plan", value: empty } };
        if (dryRun) return;
        const step = { number: 4_294_967_295, verb: "cre\nate", target: "\u0000", state: StepState.RUNNING };
        yield { item: { case: "step", value: step } };
        yield {
          item: {
            case: "outcome",
            value: {
              ...(decky === undefined ? {} : { decky }),
              plan: empty,
              failure: {
                message: "no\u0000pe\u001b[2J\nerror: forged",
                outputTail: ["\ud800", "\u202e"],
                step: { verb: "\u009b", number: 1 },
              },
              observation: {
                services: [{ slug: "redis", startedAt: "+275760-09-13T00:00:00.000Z", restartCount: 4_294_967_295 }],
              },
            },
          },
        };
      },
    });
    await apply({ words: "words" }, Wait.ACCEPTED);
    const ended = await eventually(async () =>
      (await operationsOf("words")).find(({ state }) => state === OperationState.FAILED),
    );
    expect(ended.error?.message).toMatch(/^no\?pe\?\[2J error: forged; the undo failed too: .* is not implemented/);
    const { operation } = await swarm.master.operations.getOperation({ id: ended.id });
    expect(operation?.error?.outputTail).toEqual(["\ufffd", "?"]);
    expect(operation?.steps.every(({ state, verb }) => state !== StepState.RUNNING && verb !== "cre\nate")).toBe(true);
    await swarm.master.fleet.listDeckies({});
  });

  it.each([
    ["a revision that comes too late", new AppError("REVISION_CONFLICT", "told revision 9 already; revision 1 comes too late")],
    ["a service that it does not know", new AppError("SERVICE_UNKNOWN", "there is no service redis")],
    ["a defect, again and again", undefined],
  ])("refuses for good, and the operation ends with that cause: %s", async (what, refusal) => {
    const name = `r${what.length}`;
    const worker = await joinScriptedWorker({ ...swarm, name });
    try {
      if (refusal === undefined) worker.engine.breakFor(name, new TypeError("a defect"));
      else worker.engine.breakFor(name, refusal);
      await apply({ [name]: name }, Wait.ACCEPTED);
      const ended = await eventually(
        async () => (await operationsOf(name)).find(({ state }) => state === OperationState.FAILED),
        30_000,
      );
      expect(ended.error?.message).toContain(refusal?.message ?? "internal error");
      expect(ended.error?.message).toContain(refusal?.reason ?? "INTERNAL");
      worker.engine.breakFor(name, undefined);
    } finally {
      await worker.stop();
    }
  });

  it("has one session: a copy of its key reports and renews nothing beside it, and is told of with both addresses", async () => {
    const owner = await join("owner");
    const own = owner.calls();
    await own.registration.register({ facts: owner.facts(), instanceId: "mine", reportStream: "s" });
    await owner.serve({});
    const copy = owner.calls();
    const { csrPem } = await createKeyAndCsr({ commonName: "copy" });
    const item = create(ReportItemSchema, { sequence: 1n, item: { case: "engine", value: { problem: "a lie" } } });
    expect(await refusalReason(copy.registration.report({ reportStream: "s", items: [item] }))).toBe("HOST_ALREADY_CONNECTED");
    expect(await refusalReason(copy.registration.report({ reportStream: "s", instanceId: "guess" }))).toBe(
      "HOST_ALREADY_CONNECTED",
    );
    expect(await refusalReason(copy.enrollment.renewCertificate({ csr: csrPem }))).toBe("HOST_ALREADY_CONNECTED");
    const register = copy.registration.register({ facts: owner.facts(), instanceId: "other", reportStream: "s" });
    expect(await refusalReason(register)).toBe("HOST_ALREADY_CONNECTED");
    const { host } = await swarm.master.swarm.getHost({ name: "owner" });
    expect(host?.message).toMatch(
      /a second agent with the identity of owner reported from 127\.0\.0\.1; the one from 127\.0\.0\.1/,
    );
    const { entries } = await swarm.master.access.listAudit({ filter: "action=agent/second,target=owner" });
    expect(entries.map(({ actor, outcome, peer }) => [actor, outcome, peer])).toEqual([
      ["host owner", "HOST_ALREADY_CONNECTED", "127.0.0.1"],
    ]);
    expect(await secondAgent("owner")).toMatchObject({ host: "owner", address: "127.0.0.1", first_address: "127.0.0.1" });
    // The agent itself goes on, also when its calls come over a new connection.
    expect(await refusalReason(own.registration.report({ reportStream: "s", items: [item] }))).toBe("taken");
    const again = owner.calls();
    expect(await refusalReason(again.registration.report({ reportStream: "s", instanceId: "mine" }))).toBe("taken");
    expect(await refusalReason(again.enrollment.renewCertificate({ csr: csrPem, instanceId: "mine" }))).toBe("taken");
  });

  const secondAgent = async (name: string) => {
    const since = timestampFromDate(new Date(Date.now() - 60_000));
    const patterns = [`host.${name}.second_agent`];
    for await (const { item } of swarm.master.events.subscribe({ patterns, since }, { timeoutMs: soonMs }))
      if (item.case === "event") return item.value.data;
    return undefined;
  };

  it("joins with one token and five keys at once, and one of them is it", async () => {
    const { id, secret } = parseJoinToken((await swarm.master.swarm.createJoinToken({ hostName: "thief" })).secret);
    const machine = await join("beside");
    const reasons = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const { csrPem } = await createKeyAndCsr({ commonName: "thief" });
        return machine
          .calls()
          .enrollment.enroll({ tokenId: id, tokenSecret: secret, csr: csrPem, facts: machine.facts() })
          .then(() => "joined")
          .catch((error: unknown) => fromConnectError(error).reason);
      }),
    );
    expect(reasons.toSorted()).toEqual([...Array<string>(4).fill("TOKEN_USED"), "joined"].toSorted());
  });

  it("joins under one name with five tokens at once, and one of them is it", async () => {
    for (const round of ["new", "known"]) {
      const tokens = await Promise.all(
        Array.from({ length: 5 }, async () =>
          parseJoinToken((await swarm.master.swarm.createJoinToken({ hostName: "five" })).secret),
        ),
      );
      const enrol = bare[0]?.calls().enrollment;
      const reasons = await Promise.all(
        tokens.map(async ({ id, secret }) => {
          const { csrPem } = await createKeyAndCsr({ commonName: "five" });
          const facts = bare[0]?.facts();
          return enrol
            ?.enroll({ tokenId: id, tokenSecret: secret, csr: csrPem, ...(facts === undefined ? {} : { facts }) })
            .then(() => "joined")
            .catch((error: unknown) => fromConnectError(error).reason);
        }),
      );
      expect([round, ...reasons.toSorted()]).toEqual([round, ...Array<string>(4).fill("HOST_EXISTS"), "joined"]);
    }
  });
});
