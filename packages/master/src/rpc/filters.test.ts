import { describe, expect, it } from "vitest";
import { deckyFilter, operationFilter, parseFilter } from "./filters.ts";

const refusal = (description: RegExp) =>
  expect.objectContaining({
    reason: "REQUEST_INVALID",
    violations: [{ field: "filter", description: expect.stringMatching(description) }],
  });

describe("a filter", () => {
  const parse = (filter: string) => parseFilter(filter, { state: undefined, host: undefined });
  it.each([
    ["", []],
    [" , ", []],
    ["state=running", [{ key: "state", negated: false, glob: "running" }]],
    [
      "state != running , host=edge-*",
      [
        { key: "state", negated: true, glob: "running" },
        { key: "host", negated: false, glob: "edge-*" },
      ],
    ],
    ["host=", [{ key: "host", negated: false, glob: "" }]],
  ])("%j", (filter, terms) => expect(parse(filter)).toEqual(terms));

  it.each(["name=web", "state", "state==x", "STATE=x", "state=\u0000", "=x", `state=${"x".repeat(1_000)}`])("not %j", (filter) =>
    expect(() => parse(filter)).toThrow(refusal(/./)),
  );

  it("an unknown key is refused with the one that was meant", () => {
    expect(() => parse("sate=running")).toThrow(refusal(/did you mean state\?$/));
    expect(() => parse("toString=x")).toThrow(refusal(/one of state, host$/));
  });
});

describe("a state in a filter", () => {
  it.each(["running", "RUNNING", "Running", "OPERATION_STATE_RUNNING", "operation_state_running", "r*g", "OPERATION_STATE_RUN*"])(
    "may be called %s",
    (name) =>
      expect(parseFilter(`state=${name}`, operationFilter)).toEqual([
        { key: "state", negated: false, glob: expect.stringMatching(/^r(unning|\*g|un\*)$/) },
      ]),
  );

  it("of many words too", () => {
    const [kind] = parseFilter("kind!=OPERATION_KIND_UPDATE_SERVICE_CONFIG", operationFilter);
    expect(kind).toEqual({ key: "kind", negated: true, glob: "update_service_config" });
    expect(parseFilter("kind=add-service", operationFilter)[0]?.glob).toBe("add_service");
    expect(parseFilter("state=DECKY_STATE_DEGRADED", deckyFilter)[0]?.glob).toBe("degraded");
  });

  it.each<[string, typeof operationFilter, RegExp]>([
    ["state=runing", operationFilter, /^there is no state "runing", only pending, .*; did you mean running\?$/],
    ["state=DECKY_STATE_RUNNING", operationFilter, /^there is no state/],
    ["state=OPERATION_STATE_UNSPECIFIED", operationFilter, /^there is no state/],
    ["state=", operationFilter, /^there is no state ""/],
    ["state!=zz*", deckyFilter, /^there is no state/],
    ["state=succeeded", deckyFilter, /only pending, running/],
    ["kind=repairs", operationFilter, /did you mean repair\?$/],
  ])("%s is refused", (filter, keys, why) => expect(() => parseFilter(filter, keys)).toThrow(refusal(why)));
});
