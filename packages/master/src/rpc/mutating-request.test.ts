import { create } from "@bufbuild/protobuf";
import { AddServiceRequestSchema } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { expect, it } from "vitest";
import { hashRequest } from "./mutating-request.ts";

const hash = (options: Parameters<typeof create<typeof AddServiceRequestSchema>>[1]) =>
  hashRequest({ fingerprint: (text) => text }, AddServiceRequestSchema, create(AddServiceRequestSchema, options));

it("a request is the same however long its caller waits", () => {
  const asked = { service: "redis", options: { requestId: "r1", reason: "test" } };
  const impatient = { ...asked, options: { ...asked.options, wait: Wait.ACCEPTED } };
  expect(hash(impatient)).toBe(hash(asked));
});

it("a request with another service, or other options, is another one", () => {
  const asked = { service: "redis", options: { requestId: "r1" } };
  for (const other of [
    { ...asked, service: "http" },
    { ...asked, options: { ...asked.options, dryRun: true } },
  ])
    expect(hash(other)).not.toBe(hash(asked));
});
