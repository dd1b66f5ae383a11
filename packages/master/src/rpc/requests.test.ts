import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { DeckyRefSchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { MutationOptionsSchema, OnFailure, Wait, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { describe, expect, it } from "vitest";
import { kCaller } from "../access/authenticate.ts";
import * as requests from "./requests.ts";

/** A value that no enum has, as a newer caller may send it. */
const unknown: number = 9;

const invalid = (...fields: string[]) =>
  expect.objectContaining({
    reason: "REQUEST_INVALID",
    violations: fields.map((field) => expect.objectContaining({ field })),
  });

describe("the decky that a request is about", () => {
  const ref = (name: string, topologyId = "") => create(DeckyRefSchema, { name, topologyId });
  it.each(["w", "web-01", "0", "a".repeat(63)])("%s", (name) => {
    expect(requests.parseRef(ref(name))).toEqual({ scope: "fleet", name });
  });
  it.each(["", "-web", "web-", "Web", "we b", "web/1", "wéb", "a".repeat(64), "web\n"])("not %j", (name) => {
    expect(() => requests.parseRef(ref(name))).toThrow(invalid("decky.name"));
  });
  it("not none", () => expect(() => requests.parseRef(undefined)).toThrow(invalid("decky.name")));
  it("not one of a topology, whose name is repeated in bounds", () => {
    const resource = { type: "topology", name: "t".repeat(64) };
    expect(() => requests.parseRef(ref("web", "t".repeat(200)))).toThrow(
      expect.objectContaining({ reason: "TOPOLOGY_NOT_FOUND", resource }),
    );
  });
});

describe("words of a request", () => {
  const parseSlug = (text: string) => requests.parseSlug(text);
  const parseReason = (text: string) => requests.parseReason(text, "reason");
  it.each<[what: string, parse: (text: string) => string, text: string]>([
    ["a slug", parseSlug, "other-ssh_2"],
    ["an id", requests.parseId, "op-0a1b2c3d4e"],
    ["a reason", parseReason, "because, ünïcode"],
    ["no reason", parseReason, ""],
    ["a long reason", parseReason, "x".repeat(1_000)],
  ])("%s", (_what, parse, text) => expect(parse(text)).toBe(text));

  it.each<[what: string, parse: (text: string) => string, text: string, field: string]>([
    ["a slug", parseSlug, "", "service"],
    ["a slug", parseSlug, "SSH", "service"],
    ["a slug", parseSlug, "s".repeat(65), "service"],
    ["an id", requests.parseId, "", "id"],
    ["an id", requests.parseId, "op 1", "id"],
    ["an id", requests.parseId, "x".repeat(65), "id"],
    ["a reason", parseReason, "a\u001b[31m", "reason"],
    ["a reason", parseReason, "x".repeat(1_001), "reason"],
  ])("not as %s: %j", (_what, parse, text, field) => expect(() => parse(text)).toThrow(invalid(field)));
});

describe("the options of a change", () => {
  const parse = (options: MessageInitShape<typeof MutationOptionsSchema>) =>
    requests.parseOptions(create(MutationOptionsSchema, options));
  const usual = {
    ...{ requestId: "", expectedRevision: undefined, expectedPlan: "", dryRun: false, reason: "" },
    ...{ onFailure: "undo", whenAway: "queue" },
  };

  it("are the usual ones when there are none", () => {
    expect(requests.parseOptions(undefined)).toEqual(usual);
    expect(parse({})).toEqual(usual);
  });

  it.each<[given: MessageInitShape<typeof MutationOptionsSchema>, parsed: object]>([
    [{ onFailure: OnFailure.KEEP }, { onFailure: "keep" }],
    [{ whenAway: WhenAway.REFUSE }, { whenAway: "refuse" }],
    [{ expectedRevision: 0 }, { expectedRevision: 0 }],
    [
      { requestId: "r-1", expectedPlan: "d", dryRun: true, reason: "bait" },
      { requestId: "r-1", expectedPlan: "d", dryRun: true, reason: "bait" },
    ],
  ])("%j", (given, parsed) => expect(parse(given)).toEqual({ ...usual, ...parsed }));

  it.each<[name: string, given: MessageInitShape<typeof MutationOptionsSchema>, fields: string[]]>([
    ["a long request id", { requestId: "x".repeat(129) }, ["options.request_id"]],
    ["control characters", { reason: "\u0007" }, ["options.reason"]],
    ["a long plan", { expectedPlan: "x".repeat(65) }, ["options.expected_plan"]],
    [
      "unknown values",
      { onFailure: unknown, whenAway: unknown, wait: unknown },
      ["options.on_failure", "options.when_away", "options.wait"],
    ],
    ["all problems at once", { requestId: "\n", wait: unknown }, ["options.request_id", "options.wait"]],
  ])("refuses %s", (_name, given, fields) => expect(() => parse(given)).toThrow(invalid(...fields)));

  it.each<[given: MessageInitShape<typeof MutationOptionsSchema>, waits: boolean]>([
    [{}, true],
    [{ wait: Wait.ACCEPTED }, false],
    [{ dryRun: true }, false],
  ])("%j: the caller waits: %s", (given, waits) => {
    expect(requests.waits(create(MutationOptionsSchema, given))).toBe(waits);
  });
  it("without options the caller waits", () => expect(requests.waits(undefined)).toBe(true));
});

it("who calls is who authenticated; without that there is no call", () => {
  const caller = { tokenId: "t", name: "ann", role: "operator", expiresAt: null } as const;
  const context = (values: HandlerContext["values"]) => ({ values });
  expect(requests.callerOf(context(createContextValues().set(kCaller, caller)))).toBe(caller);
  expect(() => requests.callerOf(context(createContextValues()))).toThrow(expect.objectContaining({ reason: "UNAUTHENTICATED" }));
});
