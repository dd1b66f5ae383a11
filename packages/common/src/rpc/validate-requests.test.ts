import { create, type DescMessage, fromBinary, hasOption, type MessageInitShape, ScalarType, toBinary } from "@bufbuild/protobuf";
import { DurationSchema, StructSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { CreateTokenRequestSchema } from "@decnet/contract/gen/decnet/v1/access_pb";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { SubscribeRequestSchema } from "@decnet/contract/gen/decnet/v1/event_pb";
import {
  ApplyFleetRequestSchema,
  FleetService,
  ListDeckiesRequestSchema,
  RestoreRevisionRequestSchema,
} from "@decnet/contract/gen/decnet/v1/fleet_pb";
import {
  AddServiceRequestSchema,
  BatchMutateRequestSchema,
  MutationService,
  type UpdateMode,
  UpdateServiceConfigRequestSchema,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService, type Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { range } from "@decnet/contract/gen/decnet/v1/range_pb";
import { CreateJoinTokenRequestSchema, SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { expect, it } from "vitest";
import { findViolations } from "./validate-requests.ts";

const half = "\ud800";

function violationsOf<Desc extends DescMessage>(desc: Desc, value: MessageInitShape<Desc>, withTexts = true): string[] {
  return findViolations(desc, create(desc, value), withTexts).map(({ field, description }) => `${field}: ${description}`);
}

it.each<[string, string[], string[]]>([
  ["a page", violationsOf(ListDeckiesRequestSchema, { pageSize: 1_000 }), []],
  ["a page that is too large", violationsOf(ListDeckiesRequestSchema, { pageSize: 1_001 }), ["page_size: is at most 1000"]],
  [
    "a revision that the database cannot hold",
    violationsOf(RestoreRevisionRequestSchema, { revision: 2 ** 31, options: { expectedRevision: 2 ** 32 - 1 } }),
    ["revision: is at most 2147483647", "options.expected_revision: is at most 2147483647"],
  ],
  [
    "numbers deep in a list",
    violationsOf(ApplyFleetRequestSchema, { fleet: { deckies: [{ count: 1 }, { count: 5_000 }] } }),
    ["fleet.deckies[1].count: is at most 1000"],
  ],
  [
    "a value that an enum does not have",
    violationsOf(UpdateServiceConfigRequestSchema, { mode: 9 as UpdateMode, options: { wait: 7 as Wait } }),
    ["mode: unknown value", "options.wait: unknown value"],
  ],
  [
    "NUL and halves of characters, in texts, lists, maps and settings",
    [
      ...violationsOf(AddServiceRequestSchema, {
        service: "a\u0000",
        config: { banner: `x${half}`, [`k${half}`]: 1, deep: [{ a: ["\u0000"] }] },
      }),
      ...violationsOf(CreateJoinTokenRequestSchema, { masters: ["a:1", "\u0000"], labels: { "\u0000": half } }),
    ],
    [
      "service: holds a NUL character",
      "config.banner: holds half of a character",
      "a key of config: holds half of a character",
      "config.deep[0].a[0]: holds a NUL character",
      "a key of labels: holds a NUL character",
      "labels.?: holds half of a character",
      "masters[1]: holds a NUL character",
    ],
  ],
  ["a whole character of two halves", violationsOf(AddServiceRequestSchema, { config: { a: "\ud83d\ude00" } }), []],
  [
    "one change of several",
    violationsOf(BatchMutateRequestSchema, { changes: [{ change: { case: "add", value: { service: half } } }] }),
    ["changes[0].add.service: holds half of a character"],
  ],
  ["a long text", violationsOf(CreateTokenRequestSchema, { name: "x".repeat(4_097) }), ["name: has at most 4096 characters"]],
  ["a long setting, which the catalog judges", violationsOf(AddServiceRequestSchema, { config: { a: "x".repeat(100_000) } }), []],
  [
    "a time that no calendar has",
    violationsOf(SubscribeRequestSchema, { since: create(TimestampSchema, { seconds: 10n ** 15n }) }),
    ["since: is no time from the year 1 to 9999"],
  ],
  [
    "a part of a second that is more than one",
    violationsOf(SubscribeRequestSchema, { since: create(TimestampSchema, { nanos: -1 }) }),
    ["since: has nanos out of range"],
  ],
  [
    "a duration of two signs",
    violationsOf(CreateTokenRequestSchema, { ttl: create(DurationSchema, { seconds: 5n, nanos: -5 }) }),
    ["ttl: has nanos out of range"],
  ],
  [
    "a duration beyond all measure",
    violationsOf(CreateTokenRequestSchema, { ttl: create(DurationSchema, { seconds: 2n ** 62n }) }),
    ["ttl: is longer than ten thousand years"],
  ],
  ["texts of a program of ours", violationsOf(AddServiceRequestSchema, { service: half }, false), []],
])("%s", (_, found, expected) => expect(found).toEqual(expected));

it("a number that is none is refused, as it comes in binary", () => {
  const config = toBinary(
    StructSchema,
    create(StructSchema, { fields: { a: { kind: { case: "numberValue", value: Number.NaN } } } }),
  );
  const request = fromBinary(AddServiceRequestSchema, new Uint8Array([0x1a, config.length, ...config]));
  expect(findViolations(AddServiceRequestSchema, request)).toEqual([{ field: "config.a", description: "is not a number" }]);
});

const services = [
  MutationService,
  FleetService,
  SwarmService,
  OperationService,
  EnrollmentService,
  RegistrationService,
  AgentService,
];
const notIntegers: ScalarType[] = [ScalarType.STRING, ScalarType.BOOL, ScalarType.BYTES, ScalarType.DOUBLE, ScalarType.FLOAT];

it.each(services.flatMap(({ methods }) => methods).map((method) => [method.name, method.input]))(
  "%s: every whole number that it takes has a range",
  (_, input) => {
    const without: string[] = [];
    const seen = new Set<string>();
    const visit = ({ typeName, fields }: DescMessage): void => {
      if (seen.has(typeName) || typeName.startsWith("google.")) return;
      seen.add(typeName);
      for (const field of fields) {
        if (field.message !== undefined) visit(field.message);
        const { scalar } = field;
        if (scalar !== undefined && !notIntegers.includes(scalar) && !hasOption(field, range))
          without.push(`${typeName}.${field.name}`);
      }
    };
    visit(input);
    expect(without).toEqual([]);
  },
);
