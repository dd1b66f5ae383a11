import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { z } from "zod";
import { busSettings, refineBus, toBusConfig } from "./settings.ts";

const schema = z.object(busSettings).superRefine(refineBus);
const brokers = { DECNET_KAFKA_BROKERS: "kafka-1:9092, [::1]:9093" };

it("docs/bus.md lists every setting with its default", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../../docs/bus.md"), "utf8");
  const rows = text.split("\n").flatMap((line) => {
    const [, name, value] = /^\| `(DECNET_KAFKA_\w+)` \| (\S+) \|/.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [[name, value] as const];
  });
  const defaults = Object.entries(busSettings).map(([name, setting]) => {
    const value = setting.parse(undefined);
    return [name, value === undefined || value === "" || Array.isArray(value) ? "none" : String(value)];
  });
  expect(rows).toEqual(defaults);
});

it("without brokers there is no bus", () => expect(toBusConfig(schema.parse({}))).toBeUndefined());

it("reads brokers, and takes what is not said as it is documented", () => {
  expect(toBusConfig(schema.parse(brokers))).toMatchObject({
    ...{ brokers: ["kafka-1:9092", "[::1]:9093"], isTls: false, sasl: undefined, prefix: "decnet", format: "binary" },
    ...{ isCreatingTopics: true, takesCommands: false },
  });
});

it.each<[what: string, settings: Record<string, string>, field: string]>([
  ["a broker without a port", { DECNET_KAFKA_BROKERS: "kafka-1" }, "DECNET_KAFKA_BROKERS"],
  ["a port that is none", { DECNET_KAFKA_BROKERS: "kafka-1:70000" }, "DECNET_KAFKA_BROKERS"],
  ["SASL without a user", { DECNET_KAFKA_SASL: "plain", DECNET_KAFKA_PASSWORD: "x" }, "DECNET_KAFKA_USERNAME"],
  ["SASL without a password", { DECNET_KAFKA_SASL: "plain", DECNET_KAFKA_USERNAME: "u" }, "DECNET_KAFKA_PASSWORD_FILE"],
  [
    "two passwords",
    {
      ...{ DECNET_KAFKA_SASL: "plain", DECNET_KAFKA_USERNAME: "u" },
      ...{ DECNET_KAFKA_PASSWORD: "x", DECNET_KAFKA_PASSWORD_FILE: "/p" },
    },
    "DECNET_KAFKA_PASSWORD_FILE",
  ],
  ["a certificate without its key", { DECNET_KAFKA_TLS: "on", DECNET_KAFKA_CERTIFICATE_FILE: "/c" }, "DECNET_KAFKA_KEY_FILE"],
  ["certificates without TLS", { DECNET_KAFKA_CA_FILE: "/ca" }, "DECNET_KAFKA_TLS"],
  ["a prefix with dots", { DECNET_KAFKA_TOPIC_PREFIX: "a.b" }, "DECNET_KAFKA_TOPIC_PREFIX"],
])("%s is refused", (_what, settings, field) => {
  const { error } = schema.safeParse({ ...brokers, ...settings });
  expect(error?.issues.map(({ path }) => path[0])).toEqual([field]);
});
