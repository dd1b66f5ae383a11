import { AppError } from "@decnet/common/errors/app-error";
import { expect, it } from "vitest";
import { type DesignInput, readDesign } from "./read-design.ts";

const catalog = { services: new Map(), digest: "" };
let made = 0;
const makeId = (): string => {
  made += 1;
  return `id-${made}`;
};
const context = {
  catalog,
  takenSubnets: [{ subnet: "10.0.0.0/24", holder: "the fleet's LAN" }],
  subnetBase: "10.0.0.0/8",
  makeId,
  random: () => {
    made += 1;
    return (made % 1_000_000) / 1_000_000;
  },
};

const decky = (name: string, ...attachments: { lan: string; ip?: string; mac?: string }[]): DesignInput["deckies"][number] => ({
  ...{ name, archetype: "", services: [], forwards: false, egress: [] },
  attachments: attachments.map(({ lan, ip = "", mac = "" }) => ({ lan, ip, mac })),
});
const lan = (name: string, subnet = "", isDmz = false) => ({ name, subnet, isDmz });

/** `field` of everything that is refused. */
function refusals(input: DesignInput): string[] {
  try {
    readDesign(input, context);
    return [];
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.violations.map(({ field }) => field);
  }
}

it("chooses what is left open, around what is given", () => {
  const { design, missing } = readDesign(
    {
      lans: [lan("dmz", "", true), lan("core", "10.0.1.0/24")],
      deckies: [
        decky("a", { lan: "dmz" }, { lan: "core" }),
        decky("b", { lan: "core", ip: "10.0.1.2", mac: "00:50:56:AA:00:01" }),
        decky("c", { lan: "core" }),
      ],
    },
    context,
  );
  expect(design.lans.map(({ subnet }) => subnet)).toEqual(["10.0.2.0/24", "10.0.1.0/24"]);
  expect(design.deckies.map(({ attachments }) => attachments.map(({ ip }) => ip))).toEqual([
    ["10.0.2.2", "10.0.1.3"],
    ["10.0.1.2"],
    ["10.0.1.4"],
  ]);
  expect(design.deckies[1]?.attachments[0]?.mac).toBe("00:50:56:aa:00:01");
  expect(missing).toEqual([]);
});

it("takes a design that is not finished, and says what is missing", () => {
  const { missing } = readDesign({ lans: [lan("core")], deckies: [] }, context);
  expect(missing.map(({ code }) => code)).toEqual(["DMZ_MISSING"]);
});

it.each<[string, DesignInput, string[]]>([
  ["names", { lans: [lan("A")], deckies: [decky("-", { lan: "A" })] }, ["design.lans[0].name", "design.deckies[0].name"]],
  ["a name twice", { lans: [lan("a"), lan("a")], deckies: [] }, ["design.lans[1].name"]],
  [
    "networks",
    { lans: [lan("a", "10.0.0.0/25"), lan("b", "10.9.0.0/33")], deckies: [] },
    ["design.lans[0].subnet", "design.lans[1].subnet"],
  ],
  ["a LAN that is not there", { lans: [], deckies: [decky("a", { lan: "gone" })] }, ["design.deckies[0].attachments[0].lan"]],
  [
    "an address outside",
    { lans: [lan("a")], deckies: [decky("a", { lan: "a", ip: "192.0.2.1" })] },
    ["design.deckies[0].attachments"],
  ],
  [
    "a MAC address of many",
    { lans: [lan("a")], deckies: [decky("a", { lan: "a", mac: "01:00:5e:00:00:01" })] },
    ["design.deckies[0].attachments[0].mac"],
  ],
  ["no place", { lans: [lan("a")], deckies: [decky("a")] }, ["design.deckies[0].attachments"]],
  [
    "a full LAN",
    { lans: [lan("a", "10.1.0.0/29")], deckies: [..."bcdefg"].map((name) => decky(name, { lan: "a" })) },
    ["design.deckies[5].attachments[0].lan"],
  ],
])("refuses %s, and says where", (_, input, fields) => expect(refusals(input)).toEqual(fields));

it("refuses more than it can look after, at once", () => {
  const lans = Array.from({ length: 201 }, (_, index) => lan(`lan-${index}`));
  expect(refusals({ lans, deckies: [] })).toEqual(["design.lans"]);
});

it("reads 200 LANs and 2,000 deckies in a moment", () => {
  const lans = Array.from({ length: 200 }, (_, index) => lan(`lan-${index}`, "", index === 0));
  const deckies = Array.from({ length: 2_000 }, (_, index) =>
    decky(`decky-${index}`, { lan: `lan-${index % 200}` }, { lan: `lan-${(index + 1) % 200}` }),
  );
  const startedAt = performance.now();
  expect(readDesign({ lans, deckies }, context).design.deckies).toHaveLength(2_000);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});
