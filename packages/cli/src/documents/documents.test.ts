import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CatalogEntrySchema, FieldType } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { DriftPolicy, WantedFleetSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { BatchMutateRequestSchema } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { afterAll, describe, expect, it } from "vitest";
import { readText } from "../settings.ts";
import { UsageError } from "../usage-error.ts";
import { openDocument } from "./document.ts";
import { placesOf } from "./locate.ts";
import { parseSettings } from "./parse-settings.ts";
import { readMessage, readSettings } from "./to-message.ts";
import type { SettingsRules } from "./to-settings.ts";

const sample = create(CatalogEntrySchema, {
  slug: "sample",
  fields: [
    { key: "password", type: FieldType.PASSWORD },
    { key: "server_header", type: FieldType.STRING },
    { key: "headers", type: FieldType.TEXTAREA },
    { key: "code", type: FieldType.INT },
    { key: "flag", type: FieldType.BOOL },
    { key: "face", type: FieldType.ENUM, enumValues: ["1.0", "on"] },
    { key: "versions", type: FieldType.MULTI_ENUM, enumValues: ["1.0", "2.0"] },
    { key: "names", type: FieldType.STRING_LIST },
  ],
});
const rules: SettingsRules = { services: new Map([["sample", sample]]), ignoreUnknown: false };
const lenient: SettingsRules = { ...rules, ignoreUnknown: true };

const folder = mkdtempSync(join(tmpdir(), "decnet-documents-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "f.yaml");

function fleet(text: string, how = rules) {
  writeFileSync(file, text);
  return readMessage(file, WantedFleetSchema, how);
}
function settings(text: string, how = rules) {
  writeFileSync(file, text);
  return readSettings(file, "sample", how);
}
function problemsOf(act: () => unknown): string[] {
  try {
    act();
    return [];
  } catch (error) {
    if (error instanceof UsageError) return error.message.replaceAll(file, "f.yaml").split("\n");
    throw error;
  }
}

describe("a text is what was written", () => {
  it.each([
    ...["000000", "0123", "1e3", "1_000", "+1", "-0", "0x1F", "0o17", "0b1", "1:30", "12:30:45", "1.10", ".5", ".inf", ".nan"],
    ...["yes", "no", "on", "off", "y", "N", "true", "False", "TRUE"],
    ...["2024-01-01", "2024-01-01T00:00:00Z", "=", "<<", "é", "a b", "123456789012345678901234567890"],
  ])("%s", (written) => {
    expect(settings(`password: ${written}\n`)["password"]).toBe(written);
    expect(settings(`{"password": ${written}}`)["password"]).toBe(written);
    expect(fleet(`{lan: {name: ${written}}}`).lan?.name).toBe(written);
  });

  it.each([
    ['"000"', "000"],
    ["'~'", "~"],
    ['"null"', "null"],
    ['""', ""],
    ["!!str 0123", "0123"],
    ["|\n  a\n  b\n", "a\nb\n"],
    ['"a\\u0041\\n"', "aA\n"],
    ["'it''s'", "it's"],
  ])("%s", (written, text) => expect(settings(`password: ${written}\n`)["password"]).toBe(text));

  it("also in lists, in choices, behind an alias, and inside of a text area's map", () => {
    expect(settings("versions: [1.0, 2.0]\nnames: [0123, yes]\nface: 1.0\nheaders: {X-A: 007, X-B: on}\n")).toEqual({
      versions: ["1.0", "2.0"],
      names: ["0123", "yes"],
      face: "1.0",
      headers: { "X-A": "007", "X-B": "on" },
    });
    expect(settings("password: &p 007\nserver_header: *p\n")).toEqual({ password: "007", server_header: "007" });
  });

  it("at the command line as well", async () => {
    const from = { file: undefined, slug: "sample", rules };
    const { config } = await parseSettings(
      ["password=000000", "server_header=yes", "code=80", "versions=1.0,2.0"],
      from,
      async () => "",
    );
    expect(config).toEqual({ password: "000000", server_header: "yes", code: "80", versions: ["1.0", "2.0"] });
  });
});

describe("numbers and flags are numbers and flags", () => {
  it("as people write them", () => {
    expect(settings("code: 404\nflag: yes\n")).toEqual({ code: 404, flag: true });
    expect(settings('code: "404"\nflag: "off"\n')).toEqual({ code: 404, flag: false });
    expect(settings("code: -1\nflag: FALSE\n")).toEqual({ code: -1, flag: false });
    expect(settings("code: ~\n")).toEqual({ code: null });
  });

  it.each(["0x1F", "1e3", "0123", "4.5", "1_000", "1:30", "many", "[1]", "9007199254740993"])("not %s", (written) =>
    expect(problemsOf(() => settings(`flag: on\ncode: ${written}\n`))[0]).toMatch(/^f\.yaml:2:7: code is (a whole number|text)/),
  );
});

describe("what is wrong is said with file, line and column", () => {
  it.each([
    [
      "nothing",
      "password:\n",
      'f.yaml:1:1: password has no value; for none write "", for a word such as ~ or null write it in quotes',
    ],
    [
      "a tilde",
      "code: 1\npassword: ~\n",
      'f.yaml:2:1: password has no value; for none write "", for a word such as ~ or null write it in quotes',
    ],
    [
      "null",
      "headers: null\n",
      'f.yaml:1:1: headers has no value; for none write "", for a word such as ~ or null write it in quotes',
    ],
    [
      "an unknown setting",
      "\nsever_header: x\n",
      "f.yaml:2:1: sever_header: not a setting of sample; did you mean server_header?",
    ],
    ["a list for a text", "password: [a]\n", "f.yaml:1:11: password is text, not a list"],
    ["a text for a list", "names: a\n", "f.yaml:1:8: names is a list"],
    ["a key twice", "code: 1\ncode: 2\n", "f.yaml:2:1: Map keys must be unique"],
    ["a tag", "password: !secret x\n", "f.yaml:1:11: Unresolved tag: !secret"],
    ["broken YAML", 'password: "a\n', 'f.yaml:2:1: Missing closing "quote'],
    [
      "two documents",
      "code: 1\n---\ncode: 2\n",
      "f.yaml:2:1: Source contains multiple documents; please use YAML.parseAllDocuments()",
    ],
    ["no map", "- a\n", "f.yaml must hold a map"],
    ["an empty file", "", "f.yaml must hold a map"],
  ])("%s", (_, text, problem) => expect(problemsOf(() => settings(text))).toEqual([problem]));

  it("in fleets: every problem, each with its place", () => {
    const text = `lan: { subnet: 10.66.0.0/24 }
driftPolcy: DRIFT_POLICY_REPORT
deckies:
  - name: web-01
    services:
      - slug: sample
        config: { pasword: 1, code: 0x1F }
  - nmae: web-02
    count: two
movePolicy: keepold
`;
    expect(problemsOf(() => fleet(text))).toEqual([
      'f.yaml:2:1: unknown key "driftPolcy"; did you mean driftPolicy?',
      "f.yaml:7:19: pasword: not a setting of sample; did you mean password?",
      'f.yaml:7:37: code is a whole number such as 80, not "0x1F"',
      'f.yaml:8:5: unknown key "nmae"; did you mean name?',
      'f.yaml:9:12: count is a whole number such as 80, not "two"',
      'f.yaml:10:13: movePolicy is not "keepold"; did you mean MOVE_POLICY_KEEP_OLD?',
    ]);
  });

  it("an alias that holds itself ends", () => {
    expect(problemsOf(() => settings("headers: &h { a: *h }\n"))).toEqual([expect.stringContaining("nested too deeply")]);
  });

  it("bytes that are not UTF-8", () => {
    writeFileSync(file, Buffer.from([0x61, 0x3a, 0x20, 0xff]));
    expect(problemsOf(() => readSettings(file, "sample", rules))).toEqual(["f.yaml is not UTF-8 text"]);
  });

  it("at the command line", async () => {
    const from = { file: undefined, slug: "sample", rules };
    const message = "sever_header: not a setting of sample; did you mean server_header? (--ignore-unknown leaves it out)";
    await expect(parseSettings(["sever_header=x"], from, async () => "")).rejects.toThrow(message);
    await expect(parseSettings(["pasword"], from, async () => "")).rejects.toThrow("did you mean password?");
    const taken = await parseSettings(["sever_header=x"], { ...from, rules: lenient }, async () => "");
    expect(taken.config).toEqual({ sever_header: "x" });
  });
});

describe("a fleet file", () => {
  it("is read by either spelling of its keys, and short names of its choices", () => {
    const read = fleet(`
lan: { subnet: 10.66.0.0/24, ip_start: 10.66.0.9 }
drift_policy: report
deckies:
  - name: web
    count: 2
    placement: { labels: { labels: { zone: 1, dc: on } } }
    services: [{ slug: sample, config: { password: 007 } }]
  - { name: db, placement: { balanced: true }, services: }
`);
    expect(read.lan?.ipStart).toBe("10.66.0.9");
    expect(read.driftPolicy).toBe(DriftPolicy.REPORT);
    expect(read.deckies[0]?.count).toBe(2);
    expect(read.deckies[0]?.placement?.where.value).toMatchObject({ labels: { zone: "1", dc: "on" } });
    expect(read.deckies[0]?.services[0]?.config).toEqual({ password: "007" });
    expect(read.deckies[1]?.placement?.where).toEqual({ case: "balanced", value: true });
  });

  it("takes unknown settings only when told to, and of services that are not on offer", () => {
    const text = "deckies: [{ name: a, services: [{ slug: sample, config: { nobody: 1 } }] }]";
    expect(problemsOf(() => fleet(text))).toHaveLength(1);
    expect(fleet(text, lenient).deckies[0]?.services[0]?.config).toEqual({ nobody: "1" });
    expect(fleet(text.replace("sample", "other")).deckies[0]?.services[0]?.config).toEqual({ nobody: "1" });
  });

  it.each([
    ["6h", 21_600n],
    ["90m", 5_400n],
    ["1d", 86_400n],
    ["300", 300n],
    ["21600s", 21_600n],
    ["0", 0n],
  ])("says times as people do: %s", (every, seconds) => {
    const { rotate, deckies } = fleet(`rotate: { every: ${every} }\ndeckies: [{ name: a, rotate: { every: ${every} } }]`);
    expect([rotate?.every?.seconds, deckies[0]?.rotate?.every?.seconds]).toEqual([seconds, seconds]);
  });

  it("refuses what is no time", () => {
    expect(problemsOf(() => fleet("rotate: { every: soon }"))).toEqual([
      'f.yaml:1:18: every is a time such as 30m, 6h or 1d, not "soon"',
    ]);
  });

  it("as JSON means the same", () => {
    const text = '{"deckies":[{"name":"a","count":2,"services":[{"slug":"sample","config":{"password":1e3,"code":3}}]}]}';
    expect(fleet(text).deckies[0]?.services[0]?.config).toEqual({ password: "1e3", code: 3 });
  });

  it("of changes knows whose settings they are", () => {
    writeFileSync(file, "changes:\n - add: { decky: { name: a }, service: sample, config: { password: 0123, oops: 1 } }\n");
    expect(problemsOf(() => readMessage(file, BatchMutateRequestSchema, rules))).toEqual([
      "f.yaml:2:74: oops: not a setting of sample",
    ]);
  });
});

it("a file without an end is refused after as much as any master takes", () => {
  expect(() => readText("/dev/zero")).toThrow("cannot read /dev/zero: it is longer than 32 MiB");
});

describe("a file of aliases", () => {
  it("is read in one walk, however many there are", { timeout: 20_000 }, () => {
    const deckies = fleet(`deckies:\n  - &d {name: a, services: [{slug: sample}]}\n${"  - *d\n".repeat(20_000)}`).deckies;
    expect(deckies.length).toBe(20_001);
    expect(deckies.at(-1)?.services[0]?.slug).toBe("sample");
  });

  it("means what stood last under a name before it", () => {
    const names = fleet("deckies:\n - name: &n a\n - name: *n\n - name: &n b\n - name: *n\n").deckies.map(({ name }) => name);
    expect(names).toEqual(["a", "a", "b", "b"]);
  });

  it("is refused when they make a library of a page", { timeout: 20_000 }, () => {
    const service = `&s {slug: sample, config: {names: [${"x,".repeat(2_000)}x]}}`;
    const text = `deckies:\n - name: a\n   services:\n    - ${service}\n${"    - *s\n".repeat(2_000)}`;
    expect(problemsOf(() => fleet(text))).toEqual(["f.yaml: its aliases make more than 2000000 words of it"]);
  });
});

it("what the master refuses of a file is said with its place", () => {
  writeFileSync(
    file,
    "lan: { subnet: x, ip_start: y }\ndeckies:\n  - name: A\n    services:\n      - { slug: ssh, config: { user: root } }\n",
  );
  const violations = [
    { field: "fleet.lan.subnet", description: "is no network" },
    { field: "fleet.lan.ip_start", description: "is no address" },
    { field: "fleet.deckies[0].name", description: "is no name" },
    { field: "fleet.deckies[0].services[0]", description: "user: cannot be root" },
    { field: "fleet.deckies[0].services[0]", description: "password: is too long" },
    { field: "fleet.deckies", description: "too many" },
    { field: "options.reason", description: "not of this file" },
  ];
  expect(placesOf(openDocument(file), violations, "fleet").map((line) => line.replace(file, "f.yaml"))).toEqual([
    "f.yaml:1:16: is no network",
    "f.yaml:1:29: is no address",
    "f.yaml:3:11: is no name",
    "f.yaml:5:38: user: cannot be root",
    "f.yaml:5:9: password: is too long",
    "f.yaml:3:3: too many",
  ]);
});
