import type { Catalog, CatalogPort, ConfigField, ServiceDefinition } from "@decnet/engine/catalog/types";
import { describe, expect, it } from "vitest";
import type { StoredService } from "./decky.ts";
import * as services from "./services.ts";

const field = (key: string, more: Partial<ConfigField> = {}): ConfigField => ({
  ...{ key, label: key, type: "string", default: undefined, enum: [], secret: false, help: "", placeholder: "" },
  ...{ env: undefined, emit: "when_set", min: undefined, max: undefined, maxLength: 100 },
  ...more,
});

const tcp = (number: number): CatalogPort => ({ number, protocol: "tcp" });
const udp = (number: number): CatalogPort => ({ number, protocol: "udp" });

function entry(slug: string, ports: readonly CatalogPort[], more: Partial<ServiceDefinition> = {}): ServiceDefinition {
  return {
    ...{ slug, title: slug, summary: "", singleton: false, ports, capabilities: [], user: 0, readOnlyRoot: false, tmpfs: [] },
    ...{ volumes: [], limits: { pids: 1, memoryMb: 1, cpus: 1, diskMb: 1 }, stopGraceSeconds: 1, settleSeconds: 1 },
    ...{ image: { context: "/", contextHash: "" }, fields: [] },
    ...more,
  };
}

const ssh = entry("ssh", [tcp(22)], {
  fields: [field("banner"), field("password", { secret: true }), field("port", { type: "int" })],
});
const entries = [ssh, entry("telnet", [tcp(23)]), entry("other-ssh", [tcp(22)]), entry("udp", [udp(22)])];
const probe = entry("probe", [], { singleton: true });
const catalog: Catalog = { services: new Map([...entries, probe].map((each) => [each.slug, each])), digest: "" };

const present: readonly StoredService[] = [{ slug: "ssh", config: { banner: "hi", password: "p" } }];
const refusal = (reason: string, more: object = {}) => expect.objectContaining({ reason, ...more });

describe("a service of the catalog", () => {
  it("is found by its slug", () => expect(services.findEntry(catalog, "ssh")).toBe(ssh));
  it.each([
    ["one that is not on offer", "http", "SERVICE_UNKNOWN"],
    ["one that runs once per host", "probe", "SERVICE_IS_SINGLETON"],
  ])("%s is refused", (_name, slug, reason) => expect(() => services.findEntry(catalog, slug)).toThrow(refusal(reason)));
});

describe("adding a service", () => {
  const add = (slug: string) => services.addService(present, services.findEntry(catalog, slug), {}, "web", catalog);

  it("puts it at the end", () => expect(add("telnet").map(({ slug }) => slug)).toEqual(["ssh", "telnet"]));
  it("may take a port of another protocol", () => expect(add("udp")).toHaveLength(2));
  it("is refused when it is there", () => expect(() => add("ssh")).toThrow(refusal("SERVICE_ALREADY_PRESENT")));
  it("is refused when its port is taken, with who has it", () => {
    const metadata = { decky: "web", service: "other-ssh", holder: "ssh", port: "22/tcp" };
    expect(() => add("other-ssh")).toThrow(refusal("PORT_CONFLICT", { metadata }));
  });
});

describe("removing a service", () => {
  it("leaves the others", () => expect(services.removeService(present, "ssh", "web")).toEqual([]));
  it("is refused when it is not there", () => {
    expect(() => services.removeService(present, "telnet", "web")).toThrow(refusal("SERVICE_NOT_PRESENT"));
  });
});

describe("updating a service", () => {
  const change = { config: undefined, mode: "replace", clearSecrets: [], apply: true } as const;
  const staged: StoredService = { slug: "ssh", config: { banner: "hi" }, staged: { banner: "soon" } };
  const update = (more: Partial<services.ConfigUpdate>, before: StoredService = present[0]!) =>
    services.updateService([before], ssh, { ...change, ...more }, "web")[0];

  it.each<[name: string, update: Partial<services.ConfigUpdate>, config: StoredService["config"]]>([
    ["replacing keeps secrets that are not named", { config: { port: 2222 } }, { port: 2222, password: "p" }],
    ["replacing with a secret replaces it", { config: { password: "q" } }, { password: "q" }],
    ["replacing with nothing leaves the secrets", { config: {} }, { password: "p" }],
    ["merging keeps the rest", { mode: "merge", config: { port: 2222 } }, { banner: "hi", password: "p", port: 2222 }],
    ["merging with null takes a setting back", { mode: "merge", config: { banner: null } }, { password: "p" }],
    ["merging with an empty text takes a setting back", { mode: "merge", config: { banner: "" } }, { password: "p" }],
    [
      "a secret is never taken back by an empty text",
      { mode: "merge", config: { password: "" } },
      { banner: "hi", password: "p" },
    ],
    ["a secret is cleared by name", { mode: "merge", config: {}, clearSecrets: ["password"] }, { banner: "hi" }],
    ["no settings are the stored ones", {}, { banner: "hi", password: "p" }],
    ["values get their type", { config: { port: "22" } }, { port: 22, password: "p" }],
  ])("%s", (_name, more, config) => expect(update(more)).toEqual({ slug: "ssh", config }));

  it("without applying is staged beside what runs", () => {
    expect(update({ config: { banner: "new" }, apply: false })).toEqual({
      slug: "ssh",
      config: { banner: "hi", password: "p" },
      staged: { banner: "new", password: "p" },
    });
  });

  it("builds on what is staged, and applies it", () => {
    expect(update({ mode: "merge", config: { port: 1 } }, staged)).toEqual({ slug: "ssh", config: { banner: "soon", port: 1 } });
    expect(update({}, staged)).toEqual({ slug: "ssh", config: { banner: "soon" } });
  });

  it("stages nothing when it asks for what runs", () => {
    expect(update({ config: { banner: "hi" }, apply: false }, staged)).toEqual({ slug: "ssh", config: { banner: "hi" } });
  });

  it.each<[name: string, attempt: () => unknown, reason: string]>([
    ["a service that is not there", () => services.updateService([], ssh, change, "web"), "SERVICE_NOT_PRESENT"],
    ["a secret to clear that there is not", () => update({ clearSecrets: ["banner"] }), "CONFIG_INVALID"],
    ["a bad value", () => update({ config: { port: "x" } }), "CONFIG_INVALID"],
  ])("refuses %s", (_name, attempt, reason) => expect(attempt).toThrow(refusal(reason)));
});

describe("restoring services of an old revision", () => {
  const list = (text: string): StoredService[] =>
    text === ""
      ? []
      : text.split(" ").map((word) => ({ slug: word.split("=")[0] ?? "", config: { v: word.split("=")[1] ?? "" } }));
  const text = (all: readonly StoredService[]) => all.map(({ slug, config }) => `${slug}=${config["v"]}`).join(" ");

  it.each([
    ["everything", "ssh=2 redis=2", "redis=1 http=1", "", "redis=1 http=1"],
    ["one that changed, in its place", "ssh=2 redis=2", "ssh=1 redis=1", "ssh", "ssh=1 redis=2"],
    ["one that is gone", "ssh=2", "ssh=1 redis=1", "redis", "ssh=2 redis=1"],
    ["one that was not there", "ssh=2 redis=2", "ssh=1", "redis", "ssh=2"],
    ["one that is and was not there", "ssh=2", "ssh=1", "redis", "ssh=2"],
  ])("%s", (_name, now, old, slug, after) => {
    expect(text(services.restoreServices(list(now), list(old), slug))).toBe(after);
  });

  it.each([
    ["it is there", "redis=1", "ssh=1", "redis", true],
    ["it was there", "ssh=1", "redis=1", "redis", true],
    ["all of them are", "", "", "", true],
    ["it never was", "ssh=1", "ssh=1", "redis", false],
  ])("can be asked for when %s", (_name, now, old, slug, isKnown) => {
    const ask = () => services.requireRestorable(list(now), list(old), slug, "web");
    if (isKnown) expect(ask).not.toThrow();
    else expect(ask).toThrow(expect.objectContaining({ reason: "SERVICE_NOT_PRESENT" }));
  });

  it("takes no staged settings back", () => {
    const old = [{ slug: "ssh", config: {}, staged: { v: "soon" } }];
    expect(services.restoreServices([], old, "")).toEqual([{ slug: "ssh", config: {} }]);
    expect(services.restoreServices([], old, "ssh")).toEqual([{ slug: "ssh", config: {} }]);
  });
});

describe("two lists render alike", () => {
  const a: StoredService = { slug: "a", config: { x: 1, y: 2 } };
  it.each<[name: string, left: StoredService[], right: StoredService[], same: boolean]>([
    ["when they are empty", [], [], true],
    ["whatever the order of their keys", [a], [{ slug: "a", config: { y: 2, x: 1 } }], true],
    ["whatever their order", [a, { slug: "b", config: {} }], [{ slug: "b", config: {} }, a], true],
    ["whatever is staged", [a], [{ ...a, staged: { x: 9 } }], true],
    ["not with another value", [a], [{ slug: "a", config: { x: 1, y: 3 } }], false],
    ["not with another type of a value", [a], [{ slug: "a", config: { x: "1", y: 2 } }], false],
    ["not with one more", [a], [a, { slug: "b", config: {} }], false],
    ["not with another one", [a], [{ slug: "b", config: a.config }], false],
  ])("%s", (_name, left, right, same) => expect(services.sameServices(left, right)).toBe(same));
});

describe("what differs between two lists", () => {
  const is = (config: StoredService["config"], staged?: StoredService["config"]): StoredService[] => [
    { slug: "ssh", config, ...(staged === undefined ? {} : { staged }) },
  ];
  const tell = (before: readonly StoredService[], after: readonly StoredService[]) =>
    services
      .diffServices(before, after, catalog)
      .map(({ service, action, fields }) =>
        [
          `${service} ${action}`,
          ...fields.map((each) => `${each.key} ${each.action} ${each.secret ? "(secret)" : `${each.before} to ${each.after}`}`),
        ].join(", "),
      );

  it.each<[name: string, before: StoredService[], after: StoredService[], told: string[]]>([
    ["nothing", is({ port: 1 }), is({ port: 1 }), []],
    ["a service more", [], is({ port: 1 }), ["ssh added, port added  to 1"]],
    ["a service less", is({ port: 1 }), [], ["ssh removed, port removed 1 to "]],
    [
      "settings, in the order of their keys",
      is({ port: 1, banner: "a" }),
      is({ port: 2, banner: "b" }),
      ['ssh changed, banner changed "a" to "b", port changed 1 to 2'],
    ],
    ["a secret, without its value", is({ password: "p" }), is({ password: "q" }), ["ssh changed, password changed (secret)"]],
    ["what was staged", is({ port: 1 }), is({ port: 1 }, { port: 2 }), ["ssh staged, port staged 1 to 2"]],
    [
      "other settings than were staged",
      is({ port: 1 }, { port: 2 }),
      is({ port: 1 }, { port: 3 }),
      ["ssh staged, port staged 2 to 3"],
    ],
    ["what is applied that was staged", is({ port: 1 }, { port: 2 }), is({ port: 2 }), ["ssh changed, port changed 1 to 2"]],
  ])("%s", (_name, before, after, told) => expect(tell(before, after)).toEqual(told));

  it("holds no value of a secret anywhere", () => {
    const all = [
      services.diffServices([], is({ password: "s3cret" }), catalog),
      services.diffServices(is({ password: "s3cret" }), [], catalog),
    ];
    expect(JSON.stringify(all)).not.toContain("s3cret");
  });
});

describe("settings that the catalog took once and does not take any more", () => {
  const old: StoredService = { slug: "ssh", config: { banner: "x".repeat(101) } };
  const invalid = refusal("CONFIG_INVALID", { message: "banner: must have at most 100 characters" });

  it("are refused when they are to come back", () => {
    expect(() => services.refuseInvalid([old], "", catalog)).toThrow(invalid);
    expect(() => services.refuseInvalid([old], "ssh", catalog)).toThrow(invalid);
    expect(services.refuseInvalid([old], "telnet", catalog)).toEqual([old]);
  });
  it("are refused when they are to stay", () => {
    const update = { config: { port: 2 }, mode: "merge", clearSecrets: [], apply: true } as const;
    expect(() => services.updateService([old], ssh, update, "web")).toThrow(invalid);
    expect(services.updateService([old], ssh, { ...update, config: { banner: "y" } }, "web")[0]?.config).toEqual({ banner: "y" });
  });
});

it("a long text is shown by its beginning, its length and its digest", () => {
  const change = (text: string) =>
    services.diffServices([{ slug: "ssh", config: {} }], [{ slug: "ssh", config: { banner: text } }], catalog)[0]?.fields[0]
      ?.after ?? "";
  const shown = change("x".repeat(5_000));
  expect(JSON.parse(shown)).toMatch(/^"x{999}… \(5002 characters, sha256 [0-9a-f]{16}\)$/);
  expect(change(`${"x".repeat(4_999)}y`)).not.toBe(shown);
  expect(change("short")).toBe('"short"');
});
