import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Design, GeneratorSettings } from "../../model/topology.ts";
import { type GeneratorContext, generateDesign } from "./generate.ts";
import { isDeployable, validateDesign } from "./validate.ts";

const settings = (more: Partial<GeneratorSettings> = {}): GeneratorSettings => ({
  seed: 7,
  depth: 2,
  branching: 2,
  lans: 0,
  deckiesPerLan: { least: 0, most: 3 },
  deckies: 0,
  forwardProbability: 1,
  crossEdgeProbability: 0,
  subnetBase: "172.16.0.0/12",
  services: [],
  ...more,
});

const offer = [
  { slug: "ssh", ports: ["22/tcp"] },
  { slug: "http", ports: ["80/tcp"] },
  { slug: "telnet", ports: ["23/tcp"] },
  { slug: "also-ssh", ports: ["22/tcp"] },
];

function generate(more: Partial<GeneratorSettings> = {}, usedSubnets: readonly string[] = []): Design {
  let last = 0;
  const makeId = () => {
    last += 1;
    return `id-${last}`;
  };
  const context: GeneratorContext = { usedSubnets, services: offer, makeId };
  return generateDesign(settings(more), context);
}

const catalog = {
  services: new Map(offer.map(({ slug }) => [slug, { slug, singleton: false, fields: [], ports: [] }])),
};

/** One line for each decky: where it is, and what it has. */
function tell({ deckies }: Design): string {
  return deckies
    .map(({ name, attachments, services, forwards }) => {
      const places = attachments.map(({ lan, ip }) => `${lan} ${ip}`).join(", ");
      return `${name} ${places} ${services.map(({ slug }) => slug).join("+")}${forwards ? " forwards" : ""}`;
    })
    .join("\n");
}

describe("a topology that is drawn", () => {
  it("is the same for the same seed, on every machine", () => {
    expect(tell(generate({ lans: 4, deckies: 12 }))).toMatchInlineSnapshot(`
      "decky-001 dmz 172.16.0.2 ssh forwards
      decky-002 lan-01 172.16.1.2 telnet
      decky-003 lan-01 172.16.1.3, dmz 172.16.0.3 http+ssh forwards
      decky-004 lan-01 172.16.1.4 also-ssh+http+telnet
      decky-005 lan-01 172.16.1.5 also-ssh+telnet+http
      decky-006 lan-02 172.16.2.2 telnet+ssh
      decky-007 lan-02 172.16.2.3 http
      decky-008 lan-02 172.16.2.4 also-ssh
      decky-009 lan-02 172.16.2.5, lan-01 172.16.1.6 http+telnet forwards
      decky-010 lan-03 172.16.3.2 also-ssh
      decky-011 lan-03 172.16.3.3, lan-02 172.16.2.6 ssh forwards
      decky-012 lan-03 172.16.3.4 ssh+telnet+http"
    `);
    expect(generate({ lans: 4, deckies: 12 })).toEqual(generate({ lans: 4, deckies: 12 }));
  });

  /** Everything of it, MAC addresses included: recorded on Node 20, and compared wherever this runs. */
  it.each([
    ["a tree of four LANs", { lans: 4, deckies: 12 }, "09f50635c0fe098d"],
    [
      "a deep one with more than one way",
      { seed: 8, depth: 5, branching: 3, crossEdgeProbability: 0.5, forwardProbability: 0.5 },
      "f63ead59197c248f",
    ],
    ["the largest", { seed: 4_294_967_295, lans: 200, deckies: 2_000, crossEdgeProbability: 0.25 }, "652c6002ca930da8"],
  ] as const)("%s is the one that was recorded, on any version of Node", (_, given, recorded) => {
    const digest = createHash("sha256")
      .update(JSON.stringify(generate(given)))
      .digest("hex");
    expect(digest.slice(0, 16)).toBe(recorded);
  });

  it("is another for another seed", () => expect(tell(generate({ seed: 8 }))).not.toBe(tell(generate())));

  it.each(Array.from({ length: 50 }, (_, seed) => seed))("can be deployed: seed %i", (seed) => {
    const design = generate({ seed, depth: 1 + (seed % 4), branching: 1 + (seed % 3), crossEdgeProbability: (seed % 5) / 4 });
    const issues = validateDesign(design, { catalog, takenSubnets: [] });
    expect(issues).toEqual([]);
    expect(isDeployable(issues)).toBe(true);
  });

  it("has exactly one decky in its DMZ, which publishes, and one between each other LAN and the one before", () => {
    const { lans, deckies } = generate({ lans: 6, deckies: 20 });
    expect(lans).toHaveLength(6);
    expect(deckies).toHaveLength(20);
    const atHome = (lan: string) => deckies.filter(({ attachments }) => attachments[0]?.lan === lan);
    expect(atHome("dmz")).toHaveLength(1);
    expect(atHome("dmz")[0]?.forwards).toBe(true);
    for (const { name, isDmz } of lans)
      if (!isDmz) expect(atHome(name).filter(({ attachments }) => attachments.length > 1)).toHaveLength(1);
  });

  it("never routes when that is not wanted, but for its gateway", () => {
    const { deckies } = generate({ lans: 5, forwardProbability: 0 });
    expect(deckies.filter(({ forwards }) => forwards).map(({ attachments }) => attachments.map(({ lan }) => lan))).toEqual([
      ["dmz"],
    ]);
  });

  it("uses no network that somebody has", () => {
    const { lans } = generate({}, ["172.16.0.0/16"]);
    expect(lans[0]?.subnet).toBe("172.17.0.0/24");
  });

  it("says when the networks run out", () => {
    expect(() => generate({ lans: 3, subnetBase: "10.0.0.0/23" })).toThrow("no free /24");
    expect(() => generate({ subnetBase: "10.0.0.0/25" })).toThrow("no free /24");
  });

  it("has the services that are asked for, on every decky", () => {
    const { deckies } = generate({ services: ["http"] });
    expect(new Set(deckies.flatMap(({ services }) => services.map(({ slug }) => slug)))).toEqual(new Set(["http"]));
  });

  it("of two hundred LANs and two thousand deckies is drawn, and has no fault", () => {
    const design = generate({ lans: 200, deckies: 2_000 });
    expect(validateDesign(design, { catalog, takenSubnets: [] }).filter(({ severity }) => severity === "error")).toEqual([]);
    expect(design.deckies).toHaveLength(2_000);
  });
});
