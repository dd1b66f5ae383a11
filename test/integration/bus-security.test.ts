import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@decnet/common/logging/logger";
import { busTopics } from "@decnet/contract/bus";
import { explain } from "@decnet/master/bus/explain";
import { openSender } from "@decnet/master/bus/kafka";
import { parseMasterConfig } from "@decnet/master/config";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { newAgent, newAuthority, newMaster } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

type Env = Readonly<Record<string, string>>;

/** Kafka's own words: users, and what they may do. */
const plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
const scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
const users = `user_decnet="right" user_guest="right"`;
const settings = (folder: string) => [
  "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
  `listener.name.clients.plain.sasl.jaas.config=${plain} required ${users};`,
  `listener.name.clients.scram-sha-256.sasl.jaas.config=${scram} required;`,
  `listener.name.clients.scram-sha-512.sasl.jaas.config=${scram} required;`,
  "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  "super.users=User:ANONYMOUS;User:decnet",
  "ssl.keystore.type=PEM",
  `ssl.keystore.location=${folder}/broker.pem`,
  "ssl.truststore.type=PEM",
  `ssl.truststore.location=${folder}/ca.pem`,
  "listener.name.clients.ssl.client.auth=required",
];

describe("a broker with TLS, client certificates, users and permissions", () => {
  let folder: string;
  let kafka: Kafka;
  let good: Env;
  const log = createLogger("test", "error");
  const at = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    const [authority, stranger] = await Promise.all([newAuthority(), newAuthority()]);
    const [broker, client, foreign] = await Promise.all([newMaster(authority), newAgent(authority), newAgent(stranger)]);
    const files = {
      ...{ "ca.pem": authority.certPem, "other-ca.pem": stranger.certPem, "broker.pem": `${broker.keyPem}\n${broker.certPem}` },
      ...{ "client.pem": client.certPem, "client.key": client.keyPem, password: "right\n" },
      ...{ "foreign.pem": foreign.certPem, "foreign.key": foreign.keyPem },
    };
    for (const [name, text] of Object.entries(files)) await writeFile(at(name), text, { mode: 0o600 });
    const format = ["256", "512"].flatMap((bits) => ["--add-scram", `SCRAM-SHA-${bits}=[name=decnet,password=right]`]);
    kafka = await useKafka({ protocol: "SASL_SSL", settings: settings(folder), format });
    good = {
      DECNET_KAFKA_BROKERS: kafka.brokers,
      DECNET_KAFKA_TLS: "on",
      DECNET_KAFKA_CA_FILE: at("ca.pem"),
      DECNET_KAFKA_CERTIFICATE_FILE: at("client.pem"),
      DECNET_KAFKA_KEY_FILE: at("client.key"),
      DECNET_KAFKA_SASL: "plain",
      DECNET_KAFKA_USERNAME: "decnet",
      DECNET_KAFKA_PASSWORD_FILE: at("password"),
    };
  });
  afterAll(async () => {
    await kafka?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  const open = async (more: Env) => {
    const { bus } = parseMasterConfig({ ...good, ...more }, ownCatalog);
    if (bus === undefined) throw new Error("no bus");
    return openSender(bus, log);
  };

  it.each(["plain", "scram-sha-256", "scram-sha-512"])("takes a master that logs in by %s", async (mechanism) => {
    const sender = await open({ DECNET_KAFKA_SASL: mechanism });
    await sender.close();
  });

  it.each<[what: string, more: () => Env, kind: string]>([
    ["a wrong password", () => ({ DECNET_KAFKA_PASSWORD_FILE: "", DECNET_KAFKA_PASSWORD: "wrong" }), "credentials"],
    [
      "a wrong password by SCRAM",
      () => ({ DECNET_KAFKA_SASL: "scram-sha-256", DECNET_KAFKA_PASSWORD_FILE: "", DECNET_KAFKA_PASSWORD: "wrong" }),
      "credentials",
    ],
    [
      "a certificate of somebody else",
      () => ({ DECNET_KAFKA_CERTIFICATE_FILE: at("foreign.pem"), DECNET_KAFKA_KEY_FILE: at("foreign.key") }),
      "certificate",
    ],
    ["no certificate", () => ({ DECNET_KAFKA_CERTIFICATE_FILE: "", DECNET_KAFKA_KEY_FILE: "" }), "certificate"],
    ["another authority", () => ({ DECNET_KAFKA_CA_FILE: at("other-ca.pem") }), "certificate"],
    [
      "no TLS",
      () => ({
        ...{ DECNET_KAFKA_TLS: "off", DECNET_KAFKA_CA_FILE: "" },
        ...{ DECNET_KAFKA_CERTIFICATE_FILE: "", DECNET_KAFKA_KEY_FILE: "" },
      }),
      "away",
    ],
    ["a user who may do nothing", () => ({ DECNET_KAFKA_USERNAME: "guest" }), "permission"],
    ["a file that is not there", () => ({ DECNET_KAFKA_CA_FILE: at("none.pem") }), "file"],
  ])("says what is wrong with %s", async (_what, more, kind) => {
    const error = await open(more()).then(
      async (sender) => sender.close().then(() => undefined),
      (failure: unknown) => failure,
    );
    expect(explain(error), String(error)).toMatchObject({ kind });
  });

  describe("and a whole master", () => {
    let swarm: MemorySwarm;
    const decky = { name: "web-01" };

    beforeAll(async () => {
      swarm = await useMemorySwarm({ ...good, DECNET_KAFKA_USERNAME: "nobody" });
    });
    afterAll(() => swarm?.master.dispose());

    it("says to whoever asks that the broker refuses it, why, and what to do", async () => {
      const { fleet, events, lan, mutations } = swarm.master;
      await fleet.applyFleet({ fleet: { lan, deckies: [{ ...decky, services: [{ slug: "http" }] }] } });
      const { operation } = await mutations.addService({ decky, service: "redis" });
      expect(operation?.error).toBeUndefined();
      const bus = await eventually(async () => {
        const now = await events.getBus({});
        return now.trouble !== "" && now;
      });
      expect(bus).toMatchObject({ configured: true, late: true, next: expect.stringContaining("DECNET_KAFKA_USERNAME") });
      expect(bus.trouble).toMatch(/refuses our user name or password/);
      expect(bus.waiting).toBeGreaterThan(0);
    });
  });

  describe("and a master with the right settings", () => {
    let swarm: MemorySwarm;

    beforeAll(async () => {
      swarm = await useMemorySwarm({ ...good, DECNET_KAFKA_FORMAT: "structured", DECNET_KAFKA_TOPIC_PREFIX: "own" });
    });
    afterAll(() => swarm?.master.dispose());

    it("sends events to its own topics, as whole JSON objects when that is wanted", async () => {
      const { fleet, lan } = swarm.master;
      await fleet.applyFleet({ fleet: { lan, deckies: [{ name: "web-01", services: [{ slug: "http" }] }] } });
      const security = {
        ...{ "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "decnet", "sasl.password": "right" },
        ...{
          "ssl.ca.location": at("ca.pem"),
          "ssl.certificate.location": at("client.pem"),
          "ssl.key.location": at("client.key"),
        },
      };
      const flags = Object.entries(security).flatMap(([name, value]) => ["-X", `${name}=${value}`]);
      const events = await eventually(async () => {
        const found = await readTopics(kafka.brokers, busTopics("own"), flags);
        const read = found.map(({ headers, value }) => ({ headers, event: JSON.parse(value) as Record<string, unknown> }));
        const [ended] = read.filter(({ event }) => String(event["type"]).startsWith("decnet.operation.ended"));
        return ended;
      });
      expect(events.headers).toEqual({ "content-type": "application/cloudevents+json; charset=UTF-8" });
      expect(events.event).toMatchObject({
        ...{ specversion: "1.0", datacontenttype: "application/json" },
        data: { kind: "apply_fleet", state: "succeeded" },
      });
    });
  });
});
