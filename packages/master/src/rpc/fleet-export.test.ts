import { fileURLToPath } from "node:url";
import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { atOnce } from "@decnet/common/runtime/slices";
import { ApplyFleetRequestSchema, WantedFleetSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { coerceConfig } from "@decnet/engine/catalog/coerce";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { archetypes } from "@decnet/engine/tables/archetypes";
import { distros } from "@decnet/engine/tables/distros";
import { osFamilyNames } from "@decnet/engine/tables/os-families";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { expandFleet } from "../decide/expand-fleet.ts";
import { fleetDifference } from "../decide/fleet-difference.ts";
import { type Decky, type FleetSettings, newDecky, type StoredService } from "../model/decky.ts";
import { toWantedFleet } from "./fleet-export.ts";
import { parseFleet } from "./fleet-input.ts";

const catalog = await loadCatalog([fileURLToPath(new URL("../../../../catalog", import.meta.url))]);
const offered = [...catalog.services.values()].filter(({ singleton }) => !singleton);
const now = new Date("2026-01-01T00:00:00Z");

/** Repeatable numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed * 7_919 + 1;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

const texts = [
  "b64:YjY0",
  "b64:",
  "null",
  "true",
  "007",
  "1e3",
  "~",
  "é😀",
  "- a: b",
  "{",
  "#x",
  "a\nb\n",
  " a ",
  "\ufeffx",
  "'\"\\$$",
];

/** A fleet as it may be stored: whatever was added, removed, changed, saved and moved since it was applied. */
function randomFleet(seed: number) {
  const random = seeded(seed);
  const below = (count: number) => Math.floor(random() * count);
  const one = <Item>(items: readonly Item[]): Item => items[below(items.length)] ?? expect.fail("an empty list");
  const maybe = <Value>(value: () => Value, chance = 0.5) => (random() < chance ? value() : undefined);
  const given = (slug: string): Record<string, unknown> => {
    const fields = catalog.services.get(slug)?.fields ?? [];
    return Object.fromEntries(
      fields.flatMap(({ key, type, enum: choices, min = 0, max = 99 }): [string, unknown][] => {
        if (random() < 0.4) return [];
        if (type === "int") return [[key, min + below(max - min + 1)]];
        if (type === "enum") return [[key, one(choices)]];
        if (type === "multi_enum") return [[key, [one(choices)]]];
        const text = one(texts);
        // As a caller would have given it.
        return [[key, type === "textarea" ? `b64:${Buffer.from(text).toString("base64")}` : text]];
      }),
    );
  };
  const settingsOf = (slug: string) => {
    const entry = catalog.services.get(slug) ?? expect.fail(slug);
    // A value that cannot be is none that is stored.
    const taken = Object.entries(given(slug)).map(([key, value]) => {
      try {
        return coerceConfig(entry, { [key]: value });
      } catch {
        return {};
      }
    });
    return Object.assign({}, ...taken) as StoredService["config"];
  };
  const lan: FleetSettings["lan"] = {
    name: one(["decnet_lan", "lan-2"]),
    driver: "bridge",
    subnet: "10.9.0.0/24",
    gateway: one(["10.9.0.1", "10.9.0.254"]),
    parent: undefined,
    ...(random() < 0.3 ? { mtu: 1_400 } : {}),
  };
  const services = new Map<string, readonly StoredService[]>();
  const deckies = Array.from({ length: below(8) }, (_, index): Decky => {
    const distro = one(distros);
    const slugs = offered.map(({ slug }) => slug).filter(() => random() < 0.4);
    services.set(
      `id-${index}`,
      slugs.map((slug) => {
        const staged = maybe(() => settingsOf(slug), 0.2);
        return { slug, config: settingsOf(slug), ...(staged === undefined ? {} : { staged }) };
      }),
    );
    const identity = {
      ...{ hostname: one(["web", "SRV-ALPHA-10", "a.localdomain"]), distro: distro.slug, osFamily: one(osFamilyNames) },
      ...{ archetype: maybe(() => one(archetypes).slug) ?? "", baseImage: distro.image, buildBase: distro.buildBase },
    };
    return {
      ...newDecky({
        ...{ id: `id-${index}`, scope: "fleet", name: `web-${index}`, host: one(["local", "edge-1", "edge-2"]) },
        ...{ identity, createdAt: now },
        attachments: [{ lan, ip: `10.9.0.${10 + index}`, mac: `00:50:56:00:00:0${index}` }],
      }),
      ...{ desiredRevision: 3, appliedRevision: 3, renderedRevision: 3, repairPaused: random() < 0.2, state: "running" },
    };
  });
  const settings: FleetSettings = {
    ...{ id: 1, lan, updatedAt: now },
    ...{ driftPolicy: one(["repair", "report"]), movePolicy: one(["remove_first", "keep_old"]) },
  };
  return { settings, deckies, services };
}

const hosts = ["local", "edge-1", "edge-2"].map((name) => ({
  ...{ name, labels: {}, draining: name === "edge-2", isReachable: false },
  isMasters: name === "local",
}));

describe("what is exported and applied again changes nothing", () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))("random fleet %i", (seed) => {
    const { settings, deckies, services } = randomFleet(seed);
    const wanted = { settings, deckies: deckies.map((decky) => ({ decky, services: services.get(decky.id) ?? [] })) };
    // Through a file, as people keep it.
    const file = stringify(toJson(WantedFleetSchema, toWantedFleet(wanted, catalog)));
    const fleet = fromJson(WantedFleetSchema, parse(file) as JsonValue);
    const expanded = atOnce(expandFleet(atOnce(parseFleet(create(ApplyFleetRequestSchema, { fleet }), catalog)), catalog));
    const context = { catalog, now, makeId: () => expect.fail("a new decky"), random: () => 0 };
    const changes = atOnce(fleetDifference({ deckies, services, hosts, own: "local" }, expanded, context));
    expect(changes.filter(({ action }) => action !== "keep")).toEqual([]);
    expect(changes).toHaveLength(deckies.length);
    const { lan, driftPolicy, movePolicy } = expanded;
    expect({ lan, driftPolicy, movePolicy }).toEqual({
      lan: settings.lan,
      driftPolicy: settings.driftPolicy,
      movePolicy: settings.movePolicy,
    });
  });
});

it("a decky without services and one with those of its archetype are told apart", () => {
  const expand = (more: object) => {
    const fleet = fromJson(WantedFleetSchema, {
      lan: { subnet: "10.9.0.0/24" },
      deckies: [{ name: "web", archetype: "deaddeck", ...more }],
    });
    return atOnce(
      expandFleet(atOnce(parseFleet(create(ApplyFleetRequestSchema, { fleet }), catalog)), catalog),
    ).deckies[0]?.services.map(({ slug }) => slug);
  };
  expect(expand({})).toEqual(["ssh"]);
  expect(expand({ noServices: true })).toEqual([]);
  expect(() => expand({ noServices: true, services: [{ slug: "ssh" }] })).toThrow(
    "fleet.deckies[0].no_services: cannot be together",
  );
  expect(() => expand({ archetype: "" })).toThrow("name services or an archetype, or set no_services");
});
