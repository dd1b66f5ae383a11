import { describe, expect, it } from "vitest";
import type { StoredService } from "../model/decky.ts";
import {
  firstDelayMs,
  foldWishes,
  type MadeRevision,
  nextDelayMs,
  type RotationChoice,
  retryDelayMs,
  rotateServices,
  rotationPool,
} from "./rotation.ts";
import { seeded } from "./topology/generate.ts";

const ports: Readonly<Record<string, readonly number[]>> = {
  ssh: [22],
  ftp: [21],
  http: [80],
  smb: [445],
  redis: [6379],
  web2: [80],
  sniffer: [],
};
const catalog = {
  services: new Map(
    Object.entries(ports).map(([slug, numbers]) => [
      slug,
      { singleton: slug === "sniffer", ports: numbers.map((number) => ({ number, protocol: "tcp" })) },
    ]),
  ),
};
const list = (slugs: string): StoredService[] =>
  slugs
    .split(" ")
    .filter(Boolean)
    .map((slug) => ({ slug, config: {} }));
const choice = (services: string, more: Partial<RotationChoice> = {}): RotationChoice => ({
  decky: "web",
  services: list(services),
  archetype: "",
  setting: { services: [] },
  earlier: new Map(),
  pinned: [],
  barred: [],
  ...more,
});
const slugsOf = (services: readonly StoredService[]) => services.map(({ slug }) => slug);
const rotate = (from: RotationChoice, seed: number) => slugsOf(rotateServices(from, catalog, seeded(seed)));
const seeds = Array.from({ length: 300 }, (_, seed) => seed);

describe("a decky may become", () => {
  it.each([
    ["anything of the catalog without an archetype", {}, "ftp http redis smb ssh web2"],
    ["what its archetype has", { archetype: "file-server" }, "ftp smb ssh"],
    ["what was named, and nothing else", { archetype: "file-server", setting: { services: ["redis", "ssh"] } }, "redis ssh"],
    ["nothing that is not in the catalog", { setting: { services: ["redis", "nosuch", "sniffer"] } }, "redis"],
    ["nothing that an operator decided about", { archetype: "file-server", pinned: ["ssh"], barred: ["smb"] }, "ftp"],
  ] as const)("%s", (_, more, expected) => {
    expect(rotationPool(choice("ssh", more), catalog).join(" ")).toBe(expected);
  });
});

describe("a rotation", () => {
  it("chooses the same with the same random numbers", () => {
    for (const seed of seeds) expect(rotate(choice("ssh ftp"), seed)).toEqual(rotate(choice("ssh ftp"), seed));
  });

  it("chooses one to three services that are not the present set, and never two with one port", () => {
    const sizes = new Set<number>();
    for (const seed of seeds) {
      const after = rotate(choice("ssh ftp"), seed);
      sizes.add(after.length);
      expect([...after].sort()).not.toEqual(["ftp", "ssh"]);
      expect(after.includes("http") && after.includes("web2")).toBe(false);
      expect(new Set(after).size).toBe(after.length);
    }
    expect([...sizes].sort()).toEqual([1, 2, 3]);
  });

  it("keeps what is pinned, and what is neither on offer nor its own", () => {
    for (const seed of seeds) {
      const after = rotate(choice("http ssh redis", { archetype: "file-server", pinned: ["ssh"] }), seed);
      expect(after.slice(0, 3)).toEqual(expect.arrayContaining(["http", "redis"]));
      expect(after).toContain("ssh");
    }
  });

  it("never brings back what was removed, nor what needs a port of something pinned", () => {
    for (const seed of seeds) {
      const after = rotate(choice("ssh http", { pinned: ["http"], barred: ["ftp"] }), seed);
      expect(after).not.toContain("ftp");
      expect(after).not.toContain("web2");
      expect(after).toContain("http");
    }
  });

  it("keeps the settings of a service that stays, and gives one that comes back its last ones", () => {
    const services: StoredService[] = [{ slug: "ssh", config: { user: "maria" } }];
    const earlier = new Map([["ftp", { slug: "ftp", config: { banner: "hello" } }]]);
    const found = seeds.flatMap((seed) =>
      rotateServices(choice("", { services, earlier, archetype: "file-server" }), catalog, seeded(seed)),
    );
    for (const { slug, config } of found)
      expect(config).toEqual({ ssh: { user: "maria" }, ftp: { banner: "hello" }, smb: {} }[slug]);
    expect(new Set(slugsOf(found))).toEqual(new Set(["ssh", "ftp", "smb"]));
  });

  it.each([
    ["there is only what it has", { setting: { services: ["ssh"] } }],
    ["operators decided about everything", { setting: { services: ["ssh", "ftp"] }, pinned: ["ssh"], barred: ["ftp"] }],
    ["everything else needs its port", { setting: { services: ["web2"] }, services: list("http"), pinned: ["http"] }],
  ] as const)("is impossible when %s", (_, more) => {
    expect(() => rotate(choice("ssh", more), 1)).toThrow("no other set of services for web");
  });
});

describe("what operators want of single services", () => {
  const made = (services: string, more: Partial<MadeRevision> = {}): MadeRevision => ({
    services: list(services),
    ...{ actor: "maria", kind: "add_service", state: "succeeded", undone: false },
    ...more,
  });
  const configured: StoredService[] = [{ slug: "ssh", config: { user: "maria" } }];
  const staged: StoredService[] = [{ slug: "ssh", config: {}, staged: { user: "maria" } }];
  it.each<[string, string, readonly MadeRevision[], string, string]>([
    ["nothing, when nobody changed any", "ssh", [], "", ""],
    ["one that is added stays", "ssh", [made("ssh ftp")], "ftp", ""],
    ["one that is removed stays away", "ssh ftp", [made("ssh", { kind: "remove_service" })], "", "ftp"],
    ["the last word counts", "ssh", [made("ssh ftp"), made("ssh", { kind: "remove_service" })], "", "ftp"],
    ["and the other way round", "ssh ftp", [made("ssh", { kind: "remove_service" }), made("ssh ftp")], "ftp", ""],
    ["one that is configured stays", "ssh", [made("", { services: configured, kind: "update_service_config" })], "ssh", ""],
    ["also when it is only saved", "ssh", [made("", { services: staged, kind: "update_service_config" })], "ssh", ""],
    ["a restored revision is somebody's wish", "ssh", [made("ftp", { kind: "restore_revision" })], "ftp", "ssh"],
    ["a change that was undone is none", "ssh", [made("ssh ftp", { undone: true }), made("ssh", { undone: true })], "", ""],
    ["a rotation is nobody's wish", "ssh", [made("ftp", { kind: "rotate_services", actor: "rotation" })], "", ""],
    ["one that was asked for is none either", "ssh", [made("ftp", { kind: "rotate_services" })], "", ""],
    ["nor is a repair", "ssh", [made("ssh ftp", { kind: "repair", actor: "drift" })], "", ""],
    ["a file with other services begins anew", "ssh", [made("ssh ftp"), made("http", { kind: "change_decky" })], "", ""],
    ["one with the same does not", "ssh", [made("ssh ftp"), made("ssh ftp", { kind: "change_decky" })], "ftp", ""],
    ["without its operation the actor counts", "ssh", [made("ssh ftp", { kind: null })], "ftp", ""],
    ["which may be the rotation", "ssh", [made("ftp", { kind: null, actor: "rotation" })], "", ""],
  ])("%s", (_, before, revisions, pinned, barred) => {
    const wishes = foldWishes({ pinned: [], barred: [] }, list(before), revisions);
    expect([wishes.pinned.join(" "), wishes.barred.join(" ")]).toEqual([pinned, barred]);
  });
});

describe("times", () => {
  it.each([0, 0.5, 0.999])("the next one is due within a tenth (%d)", (random) => {
    expect(Math.abs(nextDelayMs(3_600, () => random) - 3_600_000)).toBeLessThanOrEqual(360_000);
    expect(firstDelayMs(3_600, () => random)).toBeGreaterThanOrEqual(1_800_000);
    expect(firstDelayMs(3_600, () => random)).toBeLessThanOrEqual(3_600_000);
  });

  it.each([
    [3_600, 1, 7_200_000],
    [3_600, 3, 28_800_000],
    [3_600, 9, 86_400_000],
    [604_800, 5, 604_800_000],
    [60, 1_000, 60_000 * 2 ** 20],
  ])("every %d s, after %d failures in a row", (every, failures, expected) => {
    expect(retryDelayMs(every, failures)).toBe(Math.min(expected, Math.max(86_400_000, every * 1_000)));
  });
});
