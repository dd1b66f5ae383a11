import { ApplyFleetRequestSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { AddServiceRequestSchema, BatchMutateRequestSchema } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { HostSchema } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { describe, expect, it } from "vitest";
import { atOnce } from "../../runtime/slices.ts";
import { checkJson } from "./check-json.ts";

const says = (text: string, desc = AddServiceRequestSchema as Parameters<typeof checkJson>[1]) =>
  atOnce(checkJson(text, desc)).map(({ description }) => description);

describe("JSON that a message has no place for is refused, with the nearest name", () => {
  it.each([
    ["another case", '{"options":{"dryrun":true}}', "unknown field options.dryrun; did you mean dryRun?"],
    ["a hyphen", '{"options":{"dry-run":true}}', "unknown field options.dry-run; did you mean dryRun?"],
    ["capitals", '{"Service":"ssh"}', "unknown field Service; did you mean service?"],
    ["a mistyped word", '{"confg":{}}', "unknown field confg; did you mean config?"],
    ["no name at all", '{"":1}', 'unknown field ""; known here: decky, service, config, options'],
    ["a prototype", '{"__proto__":{}}', "unknown field __proto__; known here: decky, service, config, options"],
    ["a control character", '{"a\\u001b[2J":1}', 'unknown field "a\\u001b[2J"; known here: decky, service, config, options'],
    [
      "a value without its prefix",
      '{"options":{"wait":"accepted"}}',
      "unknown value accepted of options.wait; did you mean WAIT_ACCEPTED?",
    ],
    [
      "a mistyped value",
      '{"options":{"wait":"WAIT_ACEPTED"}}',
      "unknown value WAIT_ACEPTED of options.wait; did you mean WAIT_ACCEPTED?",
    ],
    ["a key twice", '{"service":"ssh","service":"ftp"}', "duplicate field service"],
    ["a key twice, once escaped", '{"service":"ssh","s\\u0065rvice":"ftp"}', "duplicate field service"],
    ["both names of a field", '{"options":{"dryRun":true,"dry_run":false}}', "duplicate field options.dry_run"],
    ["a setting twice", '{"config":{"a":{"b":[1,{"c":1,"c":2}]}}}', "duplicate field config.a.b[1].c"],
  ])("%s", (_, text, description) => expect(says(text)).toEqual([description]));

  it("in lists, and in values of maps", () => {
    expect(says('{"fleet":{"decky":[]}}', ApplyFleetRequestSchema)).toEqual(["unknown field fleet.decky; did you mean deckies?"]);
    expect(says('{"fleet":{"deckies":[{"name":"a"},{"nmae":"b"}]}}', ApplyFleetRequestSchema)).toEqual([
      "unknown field fleet.deckies[1].nmae; did you mean name?",
    ]);
    expect(says('{"changes":[{"add":{"servce":"x"}}]}', BatchMutateRequestSchema)).toEqual([
      "unknown field changes[0].add.servce; did you mean service?",
    ]);
    expect(HostSchema.fields.some((field) => field.fieldKind === "map")).toBe(true);
    expect(says('{"labels":{"any":"key"}}', HostSchema)).toEqual([]);
  });

  it("all at once, up to a bound", () => {
    expect(says('{"a":1,"b":2}')).toHaveLength(2);
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, 1]));
    expect(says(JSON.stringify(many))).toHaveLength(20);
  });
});

describe("what is right, or not for this check, passes", () => {
  it.each([
    ["both spellings of a name", '{"options":{"dryRun":true,"request_id":"r"}}'],
    ["any settings", '{"config":{"any":{"thing":[{"x":1},{"x":2}]}}}'],
    ["braces and quotes in text", '{"service":"{\\"service\\":1,\\"service\\":2}\\\\","config":{"a":"}"}}'],
    ["the same key in two objects", '{"config":{"a":{"x":1},"b":{"x":1}}}'],
    ["null", '{"options":null,"config":null}'],
    ["the number of a value", '{"options":{"wait":2}}'],
    ["no JSON", '{"service":'],
    ["another type", '{"options":[{"dryrun":1}]}'],
    ["a long text", `{"service":"${"\\\\".repeat(200_000)}"}`],
    ["deep nesting", `{"config":${"[".repeat(20_000)}${"]".repeat(20_000)}}`],
  ])("%s", (_, text) => expect(says(text)).toEqual([]));
});
