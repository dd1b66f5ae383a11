import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { callAsOperator } from "../support/under-attack.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

const script = join(import.meta.dirname, "../../examples/bus-command.sh");

interface Signer {
  readonly id: string;
  readonly secret: string;
}

describe("changes that are asked for on the bus, by openssl and kcat", () => {
  let folder: string;
  let kafka: Kafka;
  let master: KillableMaster;
  let operator: Signer;
  let viewer: Signer;

  const tokenOf = async (name: string, role: Role): Promise<Signer> => {
    const { token, secret } = await master.clients.access.createToken({ name, role });
    return { id: token?.id ?? "", secret };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    kafka = await useKafka();
    master = await startKillableMaster(folder, {
      ...{ DECNET_KAFKA_BROKERS: kafka.brokers, DECNET_KAFKA_COMMANDS: "on" },
      DECNET_DRIFT_INTERVAL_MS: "3600000",
    });
    operator = await tokenOf("siem", Role.OPERATOR);
    viewer = await tokenOf("screen", Role.VIEWER);
    const deckies = ["web-01", "web-02"].map((name) => ({ name, services: [{ slug: "http" }] }));
    await master.clients.fleet.applyFleet({ fleet: { lan: { name: "lan", subnet: "10.77.0.0/24" }, deckies } });
    // The topics are there once the master has looked at the brokers.
    await eventually(async () => (await readTopics(kafka.brokers, ["decnet.commands.dead"])).length === 0);
  });
  afterAll(async () => {
    await master?.stop();
    await kafka?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  const send = async (command: object | string, more: { by?: Signer; id?: string; time?: string } = {}): Promise<string> => {
    const { by = operator, id = randomUUID(), time = "" } = more;
    const input = typeof command === "string" ? command : JSON.stringify(command);
    const env = { DECNET_TOKEN: by.secret, DECNET_TOKEN_ID: by.id, ...(time === "" ? {} : { COMMAND_TIME: time }) };
    const { stdout } = await execa(script, [kafka.brokers, id], { input, env });
    return stdout;
  };
  const operations = async () => (await master.clients.operations.listOperations({ filter: "actor=siem" })).operations;
  const endOf = (id: string) =>
    eventually(async () => {
      const found = (await operations()).filter(({ requestId }) => requestId === id);
      expect(found.length).toBeLessThan(2);
      const [only] = found;
      return only !== undefined && only.state === OperationState.SUCCEEDED && only;
    }, 60_000);
  const dead = () => readTopics(kafka.brokers, ["decnet.commands.dead"]);
  const reasonOf = (id: string) =>
    eventually(async () => (await dead()).find(({ headers }) => headers["ce_id"] === id)?.headers["decnet-reason"], 60_000);

  it("adds a service, as the token's owner, on record, and tells with the command's id", async () => {
    const id = await send({ decky_name: "web-01", action: "add", service_name: "redis", reason: "more to see" });
    const operation = await endOf(id);
    expect(operation).toMatchObject({ actor: "siem", reason: "more to see", service: "redis" });
    const { entries } = await master.clients.access.listAudit({ filter: "actor=siem" });
    expect(entries).toMatchObject([{ outcome: "accepted", operation: operation.id, target: "web-01/redis" }]);
    expect(entries[0]?.peer).toMatch(/^bus decnet\.commands\/\d@0/);
    const told = await eventually(async () => {
      const messages = await readTopics(kafka.brokers, ["decnet.decky"]);
      return messages.find(({ value }) => (JSON.parse(value) as { request_id?: string }).request_id === id);
    });
    expect(told.headers["ce_type"]).toBe("decnet.decky.lifecycle.v1");
  });

  it("makes one change of a command that comes twice, and refuses another one with its id", async () => {
    const command = { decky_name: "web-01", action: "update", service_name: "redis", service_config: { password: "x" } };
    const id = await send(command);
    await endOf(id);
    await send(command, { id });
    await send({ ...command, action: "remove", service_config: {} }, { id });
    expect(await reasonOf(id)).toBe("REQUEST_ID_REUSED");
    expect((await operations()).filter(({ requestId }) => requestId === id)).toHaveLength(1);
  });

  it("puts what cannot be done where dead letters go, with the reason, and goes on with what comes behind it", async () => {
    const command = { decky_name: "web-01", action: "add", service_name: "ftp" };
    const poisoned: [reason: string, id: string][] = [
      ["UNAUTHENTICATED", await send(command, { by: { ...operator, secret: "decnet_wrong" } })],
      ["UNAUTHENTICATED", await send(command, { by: { ...operator, id: "tk-0000000000" } })],
      ["NOT_ALLOWED", await send(command, { by: viewer })],
      ["TOO_OLD", await send(command, { time: "2026-01-01T00:00:00Z" })],
      ["REQUEST_INVALID", await send("{")],
      ["REQUEST_INVALID", await send({ ...command, service: "ftp" })],
      ["REQUEST_INVALID", await send({ ...command, action: "explode" })],
      ["REQUEST_INVALID", await send({ ...command, reason: "x".repeat(70_000) })],
      ["DECKY_NOT_FOUND", await send({ ...command, decky_name: "nobody" })],
      ["SERVICE_UNKNOWN", await send({ ...command, service_name: "unheard-of" })],
      ["TOPOLOGY_NOT_FOUND", await send({ ...command, topology_id: "corp" })],
      ["REVISION_CONFLICT", await send({ ...command, expected_revision: 99 })],
    ];
    const good = await send(command);
    await endOf(good);
    const letters = await eventually(async () => {
      const found = new Map((await dead()).map(({ headers, value }) => [headers["ce_id"], { headers, value }]));
      return poisoned.every(([, id]) => found.has(id)) && found;
    });
    expect(poisoned.map(([, id]) => letters.get(id)?.headers["decnet-reason"])).toEqual(poisoned.map(([reason]) => reason));
    const [, , , [, old] = ["", ""]] = poisoned;
    expect(letters.get(old)?.headers["decnet-place"]).toMatch(/^decnet\.commands\/\d@\d+$/);
    expect(JSON.parse(letters.get(old)?.value ?? "")).toEqual(command);
  });

  it("does each command once, although the master is killed among them", async () => {
    const ids: string[] = [];
    for (let turn = 0; turn < 12; turn += 1) {
      ids.push(await send({ decky_name: "web-02", action: turn % 2 === 0 ? "add" : "remove", service_name: "ssh" }));
      if (turn === 4) await master.killMaster();
    }
    const done = await eventually(async () => {
      const found = (await operations()).filter(({ requestId }) => ids.includes(requestId));
      const isOver = ({ state }: { state: OperationState }) =>
        state !== OperationState.PENDING && state !== OperationState.RUNNING;
      return found.length >= ids.length && found.every(isOver) && found;
    }, 90_000);
    expect(new Set(done.map(({ requestId }) => requestId)).size).toBe(ids.length);
    expect(done).toHaveLength(ids.length);
    expect((await dead()).filter(({ headers }) => ids.includes(headers["ce_id"] ?? ""))).toEqual([]);
  });

  it("serves its operators, and says little, while many come that nobody signed; what is signed has its turn", async () => {
    const flood = 1_000;
    const target = { port: master.port, tlsPort: 0 };
    const saidOf = () => master.log.split("\n").filter((line) => line.includes("is not carried out"));
    const [linesBefore, deadBefore] = [saidOf().length, (await dead()).length];
    const before = await callAsOperator(target, master.token, 40);
    await sendUnsigned(kafka.brokers, flood);
    const good = await send({ decky_name: "web-01", action: "update", service_name: "http" });
    const during = await callAsOperator(target, master.token, 80);
    expect(during.failures).toEqual([]);
    expect(during.p50).toBeLessThan(Math.max(300, 4 * before.p50));
    await endOf(good);
    await eventually(async () => (await dead()).length === deadBefore + flood, 60_000);
    // A hundred, and one a second.
    expect(saidOf().length - linesBefore).toBeLessThan(flood / 4);
  });
});

/** Whole in every respect, but for the signature. */
async function sendUnsigned(brokers: string, count: number): Promise<void> {
  const command = JSON.stringify({ decky_name: "web-01", action: "remove", service_name: "http" });
  const headers = [
    ...["ce_specversion=1.0", "ce_type=decnet.decky.mutate_request.v1", `ce_id=${randomUUID()}`],
    ...[`ce_time=${new Date().toISOString()}`, "decnet-token=tk-0000000000", `decnet-signature=${"0".repeat(64)}`],
  ];
  const words = ["-b", brokers, "-P", "-t", "decnet.commands", ...headers.flatMap((header) => ["-H", header])];
  await execa("kcat", words, { input: `${command}\n`.repeat(count) });
}
