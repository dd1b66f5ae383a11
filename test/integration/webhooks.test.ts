import { randomUUID } from "node:crypto";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { WebhookState } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { createSecretBox } from "@decnet/master/store/secret-box";
import { createWebhookStore } from "@decnet/master/store/webhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { useMemorySwarm } from "../support/memory-swarm.ts";
import { eventually, type TestMaster } from "../support/use-master.ts";
import { isSignedWith, startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts";

const rounds = (count: number) => Array.from({ length: count }, (_, index) => index);

describe("a webhook", () => {
  let master: TestMaster;
  let receiver: WebhookReceiver;
  let database: Database;

  beforeAll(async () => {
    ({ master } = await useMemorySwarm({ DECNET_WEBHOOK_ALLOW: "127.0.0.1", DECNET_WEBHOOK_GIVE_UP_SECONDS: "2" }));
    const deckies = ["a", "b"].map((name) => ({ name, services: [{ slug: "redis" }] }));
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } });
    database = await openDatabase(await openPrivatePostgres(master.config.dataDir));
  });
  afterAll(async () => {
    await database?.close();
    await master?.dispose();
  });
  beforeEach(async () => {
    receiver = await startWebhookReceiver();
  });
  afterEach(async () => {
    for (const { name } of (await master.webhooks.listWebhooks({})).webhooks) await master.webhooks.removeWebhook({ name });
    await receiver.close();
  });

  /** Adds and removes a service, so many times: each change is one event of its kind. */
  const change = async (decky: string, times: number): Promise<void> => {
    for (const _ of rounds(times)) {
      await master.mutations.addService({ decky: { name: decky }, service: "http" });
      await master.mutations.removeService({ decky: { name: decky }, service: "http" });
    }
  };
  const find = async (name: string) => {
    const { webhooks } = await master.webhooks.listWebhooks({});
    return webhooks.find((each) => each.name === name);
  };
  const refusal = (call: Promise<unknown>) => call.then(() => undefined, fromConnectError);
  const types = () => receiver.received.map(({ body }) => body.type);

  it("gets the events of its patterns, in order, each signed with the secret that was shown once", async () => {
    const patterns = ["decky.a.service_added", "decky.a.service_removed"];
    const { secret } = await master.webhooks.addWebhook({ name: "siem", url: receiver.url, patterns });
    await change("b", 1);
    await change("a", 3);
    await eventually(async () => receiver.received.length === 6);
    expect(types()).toEqual(rounds(3).flatMap(() => patterns));
    expect(receiver.received.every((each) => isSignedWith(secret, each))).toBe(true);
    expect(receiver.received.every(({ headers, body }) => headers["webhook-id"] === body.id)).toBe(true);
    expect(receiver.received[0]?.body.data).toMatchObject({ decky_name: "a", service_name: "http" });
    const listed = JSON.stringify(await master.webhooks.listWebhooks({}), (_key, value) =>
      typeof value === "bigint" ? String(value) : (value as unknown),
    );
    expect(listed).not.toContain(secret);
  });

  it("loses nothing and keeps the order while its receiver fails, and while the master is started again", async () => {
    const { secret } = await master.webhooks.addWebhook({
      name: "siem",
      url: receiver.url,
      patterns: ["decky.a.service_added", "decky.a.service_removed"],
    });
    let failures = 0;
    receiver.answer((response) => {
      failures += 1;
      response.writeHead(failures > 2 ? 204 : 503).end();
    });
    await change("a", 2);
    await eventually(async () => failures >= 2);
    expect(await find("siem")).toMatchObject({ state: WebhookState.FAILING, message: "it answered 503" });
    await master.restart(async () => undefined);
    await change("a", 2);
    await eventually(async () => (await find("siem"))?.state === WebhookState.ACTIVE && receiver.received.length >= 10);
    const once = [...new Map(receiver.received.map((each) => [each.body.id, each])).values()];
    expect(once.map(({ body }) => body.type)).toEqual(
      rounds(4).flatMap(() => ["decky.a.service_added", "decky.a.service_removed"]),
    );
    const cursors = once.map(({ body }) => Number(body.cursor));
    expect(cursors).toEqual([...cursors].sort((one, other) => one - other));
    expect(receiver.received.every((each) => isSignedWith(secret, each))).toBe(true);
  });

  it("is stopped at the end of its time, and goes on where it was when somebody resumes it", async () => {
    receiver.answer((response) => void response.writeHead(500).end());
    await master.webhooks.addWebhook({
      name: "siem",
      url: receiver.url,
      patterns: ["decky.a.service_added", "decky.a.service_removed"],
    });
    await change("a", 1);
    await eventually(async () => (await find("siem"))?.state === WebhookState.STOPPED);
    expect((await find("siem"))?.message).toMatch(/nothing could be delivered since .*: it answered 500/);
    const tries = receiver.received.length;
    await change("a", 1);
    receiver.answer((response) => void response.writeHead(200).end());
    expect(receiver.received).toHaveLength(tries);
    await master.webhooks.resumeWebhook({ name: "siem" });
    await eventually(async () => receiver.received.length === tries + 4);
    expect(new Set(receiver.received.map(({ body }) => body.id)).size).toBe(4);
    expect(await find("siem")).toMatchObject({ state: WebhookState.ACTIVE, message: "" });
  });

  it("is stopped at once when its receiver says that it is gone; resumed from now it leaves out what was", async () => {
    receiver.answer((response) => void response.writeHead(410).end());
    await master.webhooks.addWebhook({ name: "siem", url: receiver.url, patterns: ["decky.b.service_added"] });
    await change("b", 2);
    await eventually(async () => (await find("siem"))?.state === WebhookState.STOPPED);
    expect(receiver.received).toHaveLength(1);
    receiver.answer((response) => void response.writeHead(204).end());
    await master.webhooks.resumeWebhook({ name: "siem", fromNow: true });
    await change("b", 1);
    await eventually(async () => receiver.received.length === 2);
    expect(Number(receiver.received[1]?.body.cursor) - Number(receiver.received[0]?.body.cursor)).toBeGreaterThan(6);
  });

  it("goes nowhere but to the internet, except to hosts that are allowed by name", async () => {
    const add = (url: string) => refusal(master.webhooks.addWebhook({ name: "siem", url }));
    for (const url of [
      "https://10.0.0.1/",
      "https://169.254.169.254/latest/",
      "https://[::1]/",
      "https://[::ffff:127.0.0.1]/",
      `http://localhost:${receiver.port}/`,
      "file:///etc/passwd",
      "no url",
    ])
      expect((await add(url))?.reason, url).toBe("REQUEST_INVALID");
    expect(await add(`https://localhost:${receiver.port}/`)).toBeUndefined();
    const tried = await master.webhooks.testWebhook({ name: "siem" });
    expect(tried).toMatchObject({ delivered: false, status: 0 });
    expect(tried.message).toContain("not on the internet");
    expect(receiver.received).toEqual([]);
  });

  it("can be tried, whatever else it waits for", async () => {
    const { secret } = await master.webhooks.addWebhook({ name: "siem", url: receiver.url, patterns: ["decky.nobody.>"] });
    expect(await master.webhooks.testWebhook({ name: "siem" })).toMatchObject({ delivered: true, status: 204, message: "" });
    expect(types()).toEqual(["webhook.test"]);
    expect(receiver.received.every((each) => isSignedWith(secret, each))).toBe(true);
  });

  it("has a name of its own, and there is an end to how many there are", async () => {
    const add = (name: string, more = {}) => refusal(master.webhooks.addWebhook({ name, url: receiver.url, ...more }));
    expect(await add("w0", { patterns: ["decky.nobody.>"] })).toBeUndefined();
    expect((await add("w0"))?.reason).toBe("WEBHOOK_EXISTS");
    expect((await add("W"))?.reason).toBe("REQUEST_INVALID");
    expect((await add("w", { patterns: ["decky."] }))?.reason).toBe("REQUEST_INVALID");
    expect((await add("w", { secret: "whsec_short" }))?.reason).toBe("REQUEST_INVALID");
    expect((await refusal(master.webhooks.removeWebhook({ name: "none" })))?.reason).toBe("WEBHOOK_NOT_FOUND");
    for (const index of rounds(49)) expect(await add(`w${index + 1}`, { patterns: ["decky.nobody.>"] })).toBeUndefined();
    expect((await add("w50"))?.reason).toBe("WEBHOOK_LIMIT");
  });

  it("has one master at a time that sends for it", async () => {
    const store = createWebhookStore(database, createSecretBox(Buffer.alloc(32)));
    await master.webhooks.addWebhook({ name: "siem", url: receiver.url, patterns: ["decky.nobody.>"] });
    const other = randomUUID();
    const holder = async () => {
      const rows = await database.run<{ holder: string }>({ name: "test-holder", text: "SELECT holder FROM webhooks" }, []);
      return rows[0]?.holder;
    };
    await eventually(async () => (await holder()) !== "");
    expect(await store.claim(other)).toEqual([]);
    const webhook = await store.get("siem");
    expect(await store.note(other, webhook, { ...webhook, position: "999999" })).toBe(false);
    // As if the one that has it were not heard of any more.
    await database.run({ name: "test-silent", text: "UPDATE webhooks SET held_at = held_at - interval '1 minute'" }, []);
    expect((await store.claim(other)).map(({ name }) => name)).toEqual(["siem"]);
    expect(await holder()).toBe(other);
    await store.release(other);
    await eventually(async () => (await holder()) !== "");
  });
});
