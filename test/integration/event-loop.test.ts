import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HostileTarget, startHostileTarget } from "../support/hostile-target.ts";

/** On a machine that does nothing else; one that is busy or slow takes longer for everything, and so does the measure. */
const mostMs = 50;
/** A plan for ten thousand deckies is honest work, and its answer is made and written in one piece. */
const mostMsOfHonestWork = 100;
const honestWork = ["10,000 deckies", "a range of ten thousand"];
/** What the work below takes on such a machine. */
const workMs = 20;

function slowness(): number {
  const begun = performance.now();
  let sum = 0;
  for (let at = 0; at < 300; at += 1) sum += JSON.stringify(JSON.parse(`[${"1,".repeat(4_000)}1]`)).length;
  return sum > 0 ? Math.max(1, (performance.now() - begun) / workMs) : 1;
}
const fill = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));

const lan = { subnet: "10.66.0.0/16" };
const options = { dryRun: true };
const fleetOf = (deckies: unknown[]) => ({ fleet: { lan, deckies }, options });
const services = [{ slug: "redis" }];
const spaces = " ".repeat(990);

/** What a caller with a token may send, as JSON; whether it is refused or not does not matter. */
const inputs: [name: string, method: string, body: () => unknown][] = [
  [
    "20,000 entries of 1,000 deckies",
    "FleetService/ApplyFleet",
    () => fleetOf(fill(20_000, (at) => ({ name: `d${at}`, count: 1_000, services }))),
  ],
  ["20,000 deckies", "FleetService/ApplyFleet", () => fleetOf(fill(20_000, (at) => ({ name: `d${at}`, services })))],
  ["10,000 deckies", "FleetService/ApplyFleet", () => fleetOf(fill(10_000, (at) => ({ name: `d${at}`, services })))],
  [
    "10,000 deckies with one address",
    "FleetService/ApplyFleet",
    () => fleetOf(fill(10_000, (at) => ({ name: `d${at}`, services, ip: `10.66.${at >> 8}.${at & 255}` }))),
  ],
  ["a range of ten thousand", "FleetService/ApplyFleet", () => fleetOf([{ name: "d[0-9999]", services }])],
  ["a range pattern that backtracks", "FleetService/ApplyFleet", () => fleetOf([{ name: "[1-1".repeat(75_000), services }])],
  [
    "names that are long",
    "FleetService/ApplyFleet",
    () => fleetOf(fill(900, () => ({ name: "x".repeat(4_000), count: 11, services }))),
  ],
  ["a million empty deckies", "FleetService/ApplyFleet", () => fleetOf(fill(1_000_000, () => ({})))],
  [
    "many services of one decky",
    "FleetService/ApplyFleet",
    () => fleetOf([{ name: "d", services: fill(100_000, () => ({ slug: "redis" })) }]),
  ],
  [
    "many labels",
    "FleetService/ApplyFleet",
    () => ({
      ...fleetOf([{ name: "d", services }]),
      fleet: {
        lan,
        deckies: [
          { name: "d", services, placement: { labels: { labels: Object.fromEntries(fill(100_000, (at) => [`k${at}`, "v"])) } } },
        ],
      },
    }),
  ],
  [
    "a deep setting",
    "MutationService/AddService",
    () => `{"decky":{"name":"d0"},"service":"redis","config":{"a":${"[".repeat(900_000)}${"]".repeat(900_000)}}}`,
  ],
  [
    "a setting of many values",
    "MutationService/AddService",
    () => ({ decky: { name: "d0" }, service: "redis", config: { a: fill(1_000_000, () => 1) } }),
  ],
  [
    "many settings",
    "MutationService/AddService",
    () => ({ decky: { name: "d0" }, service: "redis", config: Object.fromEntries(fill(200_000, (at) => [`k${at}`, 1])) }),
  ],
  [
    "a text of a megabyte",
    "MutationService/AddService",
    () => ({ decky: { name: "d0" }, service: "redis", config: { password: "x".repeat(1_000_000) } }),
  ],
  [
    "a list of headers without a colon",
    "MutationService/AddService",
    () => ({ decky: { name: "d0" }, service: "http", config: { extra_headers: `a${" ".repeat(65_000)}b` } }),
  ],
  [
    "many duplicate fields",
    "MutationService/AddService",
    () => `{"decky":{"name":"d0"},${fill(200_000, () => `"service":"redis"`).join(",")}}`,
  ],
  ["many unknown fields", "MutationService/AddService", () => Object.fromEntries(fill(100_000, (at) => [`k${at}`, 1]))],
  [
    "secrets to clear",
    "MutationService/UpdateServiceConfig",
    () => ({ decky: { name: "d0" }, service: "redis", clearSecrets: fill(400_000, () => "a") }),
  ],
  [
    "a batch of everything",
    "MutationService/BatchMutate",
    () => ({ select: "name=*", changes: fill(50_000, () => ({ add: { service: "http" } })), options }),
  ],
  [
    "a batch of more than there may be",
    "MutationService/BatchMutate",
    () => ({ changes: fill(60_000, () => ({ remove: { decky: { name: "d" }, service: "a" } })), options }),
  ],
  ["a filter of blanks", "FleetService/ListDeckies", () => ({ filter: `name=${spaces}=` })],
  ["a filter of stars", "FleetService/ListDeckies", () => ({ filter: `name=${"*a".repeat(495)}` })],
  ["a filter of many terms", "OperationService/ListOperations", () => ({ filter: "kind!=*a*,".repeat(99) })],
  ["a huge page", "FleetService/ListDeckies", () => ({ pageSize: 4_000_000_000 })],
  ["a page token of a megabyte", "FleetService/ListDeckies", () => ({ pageToken: "x".repeat(1_000_000) })],
  ["many patterns", "EventService/Subscribe", () => ({ patterns: fill(400_000, () => "a.b") })],
  ["a long pattern", "EventService/Subscribe", () => ({ patterns: ["*.".repeat(500_000)] })],
  ["a long cursor", "EventService/Subscribe", () => ({ cursor: "9".repeat(1_000_000) })],
  ["many masters", "SwarmService/CreateJoinToken", () => ({ hostName: "e", masters: fill(300_000, () => "a:1") })],
  [
    "a decky that calls a hundred thousand addresses",
    "FleetService/ApplyFleet",
    () =>
      fleetOf([
        { name: "d", services, egress: fill(100_000, (at) => ({ cidr: `10.0.${at % 256}.0/24`, protocol: "tcp", port: 1 })) },
      ]),
  ],
  [
    "a topology whose LANs all have one name",
    "TopologyService/CreateTopology",
    () => ({ name: "t", design: { lans: fill(100_000, () => ({ name: "core" })) }, options }),
  ],
  ["a long id", "OperationService/GetOperation", () => ({ id: "x".repeat(1_000_000) })],
  ["a long reason", "OperationService/CancelOperation", () => ({ id: "op-1", reason: "\u0001".repeat(500_000) })],
];

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]);
const field = (number: number, payload: Uint8Array) =>
  Buffer.concat([Buffer.from([...varint(8 * number + 2), ...varint(payload.length)]), payload]);
const times = (count: number, ...bytes: number[]) => Buffer.concat(Array<Buffer>(count).fill(Buffer.from(bytes)));
const decky = field(1, field(1, Buffer.from("d0")));
const setting = (value: Uint8Array) => field(1, Buffer.concat([field(1, Buffer.from("a")), field(2, value)]));
const withConfig = (config: Uint8Array) => Buffer.concat([decky, field(2, Buffer.from("redis")), field(3, config)]);

/** Lists in lists; made from the inside, so that it takes no time. */
function deepList(depth: number): Buffer {
  const heads: Buffer[] = [];
  let length = 0;
  for (let level = 0; level < depth; level += 1)
    for (const tag of [0x0a, 0x32]) {
      const head = Buffer.from([tag, ...varint(length)]);
      heads.push(head);
      length += head.length;
    }
  return Buffer.concat(heads.reverse());
}

/** The same as binary messages, and what only those can be. */
const binaries: [name: string, method: string, body: () => Uint8Array, encoding?: "gzip"][] = [
  ["half a million empty deckies", "FleetService/ApplyFleet", () => field(1, times(500_000, 0x1a, 0))],
  ["unknown fields", "FleetService/ApplyFleet", () => times(300_000, 0xf8, 0x7f, 1)],
  ["groups that begin", "MutationService/AddService", () => times(1_000_000, 0x0b)],
  [
    "groups in groups, each with its end",
    "MutationService/AddService",
    () => Buffer.concat([times(500_000, 0x0b), times(500_000, 0x0c)]),
  ],
  ["a deep setting", "MutationService/AddService", () => withConfig(setting(deepList(100_000)))],
  [
    "many settings",
    "MutationService/AddService",
    () => withConfig(Buffer.concat(fill(60_000, (at) => field(1, field(1, Buffer.from(`k${at}`)))))),
  ],
  [
    "one setting again and again",
    "MutationService/AddService",
    () => withConfig(Buffer.concat(fill(80_000, () => setting(times(1, 0x20, 1))))),
  ],
  ["a text that is no UTF-8", "MutationService/AddService", () => Buffer.concat([decky, field(2, times(1_000_000, 0xff))])],
  [
    "a number without an end",
    "OperationService/ListOperations",
    () => Buffer.concat([Buffer.from([0x08]), times(1_000_000, 0x80)]),
  ],
  ["a length beyond the end", "MutationService/AddService", () => Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x07, 0x61])],
  ["the same message a hundred thousand times", "MutationService/AddService", () => Buffer.concat(fill(100_000, () => decky))],
  ["many patterns", "EventService/Subscribe", () => Buffer.concat(fill(200_000, () => field(1, Buffer.from("a.b"))))],
  ["zeros, packed", "FleetService/ApplyFleet", () => gzipSync(Buffer.alloc(200 << 20)), "gzip"],
  ["half a million empty deckies, packed", "FleetService/ApplyFleet", () => gzipSync(field(1, times(500_000, 0x1a, 0))), "gzip"],
  ["what is not packed, but says so", "FleetService/ApplyFleet", () => times(300_000, 0x1f, 0x8b, 8), "gzip"],
];

describe("while a hostile request is served, everybody else has a turn", () => {
  let target: HostileTarget;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-loop-"));
    await chmod(folder, 0o711);
    target = await startHostileTarget(folder);
  });
  afterAll(async () => {
    await target.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(inputs)("%s", { timeout: 60_000 }, async (name, method, body) => {
    const most = honestWork.includes(name) ? mostMsOfHonestWork : mostMs;
    const made = body();
    const text = Buffer.from(typeof made === "string" ? made : JSON.stringify(made));
    await expectTurns(most, text.length, () => target.post(method, text));
  });

  it.each(binaries)("as a binary message: %s", { timeout: 60_000 }, async (_, method, body, encoding) => {
    const bytes = body();
    let said = "";
    const form = { codec: "proto", ...(encoding === undefined ? {} : { encoding }) } as const;
    await expectTurns(mostMs, bytes.length, async () => {
      said = await target.post(method, bytes, form);
    });
    expect(said).not.toMatch(/"code":"(internal|unknown)"/);
  });

  async function expectTurns(most: number, bytes: number, act: () => Promise<unknown>): Promise<void> {
    const delays: number[] = [];
    // What blocks does so each time; a busy machine is late once.
    for (let attempt = 0; attempt < 3 && (delays.length === 0 || Math.min(...delays) > most); attempt += 1) {
      const before = slowness();
      const delay = await target.delayWhile(act);
      delays.push(delay / Math.max(before, slowness()));
    }
    expect(Math.min(...delays), `ms for ${bytes} bytes`).toBeLessThanOrEqual(most);
  }
});
