import { AppError } from "@decnet/common/errors/app-error";
import type { Catalog, ServiceDefinition } from "@decnet/engine/catalog/types";
import { describe, expect, it } from "vitest";
import type { Design, TopologyState } from "../../model/topology.ts";
import { type Edit, type EditContext, editDesign, type WantedPlace } from "./edit.ts";
import { seeded } from "./generate.ts";
import { type DesignInput, readDesign } from "./read-design.ts";
import { validateDesign } from "./validate.ts";

/** What nobody would write, and enough of what somebody would that half of it fits together. */
const words = [
  ...["dmz", "core", "far", "gateway", "inner", "web", "db", "ssh", "http", "redis", "web-server", "nosuch"],
  ...["", " ", "-", "A", "a/b", "../..", "x".repeat(70), "\u0000", "\ud800", "__proto__", "constructor", "fleet", "smtp"],
  ...["10.0.0.0/24", "10.0.1.0/29", "10.0.1.0/33", "10.0.0.1/24", "127.0.0.0/8", "0.0.0.0/0", "224.0.0.0/4", "::/0", "10/8"],
  ...["10.0.0.2", "10.0.0.1", "10.0.1.7", "999.1.1.1", "10.0.0.2/32", "-1", "1e3", "00:50:56:00:00:01", "01:00:5e:00:00:01"],
];

const service = (slug: string, number: number): ServiceDefinition => ({
  ...{ slug, title: slug, summary: "", singleton: false, ports: [{ number, protocol: "tcp" }], capabilities: [], user: 0 },
  ...{ readOnlyRoot: false, tmpfs: [], volumes: [], stopGraceSeconds: 1, settleSeconds: 1, fields: [] },
  limits: { pids: 1, memoryMb: 1, cpus: 1, diskMb: 1 },
  image: { context: "/", contextHash: "" },
});
const catalog: Catalog = {
  services: new Map([service("ssh", 22), service("http", 80), service("redis", 6379)].map((entry) => [entry.slug, entry])),
  digest: "",
};
const takenSubnets = [{ subnet: "10.7.0.0/16", holder: "the fleet's LAN" }];

function createDraw(seed: number) {
  const random = seeded(seed);
  const below = (most: number) => Math.floor(random() * most);
  const pick = <T>(list: readonly NonNullable<T>[]): NonNullable<T> => list[below(list.length)] ?? expect.fail("none to pick");
  const list = <T>(most: number, make: () => T): T[] => Array.from({ length: below(most + 1) }, make);
  const word = () => pick(words);
  const maybe = <T>(make: () => T): T | undefined => (below(2) === 0 ? make() : undefined);
  return { random, below, pick, list, word, maybe };
}
type Draw = ReturnType<typeof createDraw>;

const contextOf = ({ random }: Draw): EditContext & { catalog: Catalog; takenSubnets: typeof takenSubnets } => {
  let ids = 0;
  const makeId = () => {
    ids += 1;
    return `id-${ids}`;
  };
  return { usedSubnets: ["10.7.0.0/16"], subnetBase: "10.0.0.0/8", makeId, random, catalog, takenSubnets };
};

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

/** The reason of a refusal; empty for none. Everything that is no refusal goes on. */
function reasonOf(work: () => void): string {
  try {
    work();
    return "";
  } catch (error) {
    if (error instanceof AppError) return error.reason;
    throw error;
  }
}

function drawDesign({ below, list, word, pick }: Draw): DesignInput {
  const lanWord = () => (below(8) === 0 ? word() : pick(["dmz", "core", "far"]));
  return {
    lans: list(4, () => ({ name: lanWord(), subnet: below(5) === 0 ? word() : "", isDmz: below(3) === 0 })),
    deckies: list(5, () => ({
      name: below(8) === 0 ? word() : pick(["gateway", "inner", "web", "db"]),
      archetype: below(6) === 0 ? word() : "",
      services: list(3, () => ({
        slug: below(4) === 0 ? word() : pick(["ssh", "http", "redis"]),
        config: below(3) === 0 ? undefined : pick<object>([{}, []]),
      })),
      attachments: list(3, () => ({
        lan: lanWord(),
        ip: below(4) === 0 ? word() : "",
        mac: below(6) === 0 ? word() : "",
      })),
      forwards: below(3) === 0,
      egress: list(1, () => ({
        cidr: below(2) === 0 ? word() : "192.0.2.0/24",
        protocol: pick(["", "tcp", word()]),
        port: pick([0, 443, 70_000]),
      })),
    })),
  };
}

function drawEdit(draw: Draw): Edit {
  const { below, list, word, pick, maybe } = draw;
  const lan = () => (below(2) === 0 ? word() : pick(["dmz", "core"]));
  const place = (): WantedPlace => ({ lan: lan(), ip: below(2) === 0 ? "" : word(), mac: below(4) === 0 ? word() : "" });
  const services = () => list(2, () => ({ slug: word(), config: {} }));
  const flag = () => below(2) === 0;
  const edits: readonly (() => Edit)[] = [
    () => ({ kind: "add_lan", name: word(), subnet: below(2) === 0 ? "" : word(), isDmz: flag() }),
    () => ({ kind: "update_lan", name: word(), newName: maybe(word), subnet: maybe(word), isDmz: maybe(flag) }),
    () => ({ kind: "remove_lan", name: word() }),
    () => ({ kind: "add_decky", name: word(), archetype: word(), services: services(), lans: list(3, place), forwards: flag() }),
    () => ({ kind: "update_decky", name: word(), archetype: maybe(word), services: maybe(services), forwards: maybe(flag) }),
    () => ({ kind: "remove_decky", name: word() }),
    () => ({ kind: "attach_decky", name: word(), place: place() }),
    () => ({ kind: "detach_decky", name: word(), lan: word() }),
  ];
  return pick(edits)();
}

const states: readonly TopologyState[] = ["pending", "active", "degraded"];
const reasons: ReadonlySet<string> = new Set(["", "TOPOLOGY_INVALID", "LAN_NOT_FOUND", "DECKY_NOT_FOUND", "TOPOLOGY_STATE"]);

/** What is not as it must be after an edit; empty when all is well. */
function troublesOf(
  before: Design,
  after: Design,
  { edit, state, reason }: { edit: Edit; state: TopologyState; reason: string },
) {
  const isPending = state === "pending";
  const moved = before.deckies.flatMap(({ id, name, attachments }) => {
    const now = after.deckies.find((each) => each.id === id)?.attachments ?? [];
    const isElsewhere = attachments.some(({ lan, ip, mac }) =>
      now.some((each) => each.lan === lan && (each.ip !== ip || each.mac !== mac)),
    );
    return isElsewhere && !(isPending && edit.kind === "update_lan") ? [`${name} has another address`] : [];
  });
  const changed = before.lans.flatMap((lan) => {
    const now = after.lans.find(({ name }) => name === lan.name);
    return isPending || now === undefined || (now.subnet === lan.subnet && now.isDmz === lan.isDmz)
      ? []
      : [`${lan.name} changed`];
  });
  return [
    ...(reasons.has(reason) ? [] : [`refused with ${reason}`]),
    ...(reason !== "" && after !== before ? ["refused, and changed"] : []),
    ...moved,
    ...changed,
  ];
}

describe("whatever is asked of a design", () => {
  it("3,000 designs that nobody would write are refused for a reason, or taken whole and without a fault", () => {
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const draw = createDraw(seed);
      const input = freeze(drawDesign(draw));
      const reason = reasonOf(() => {
        const { design } = readDesign(input, contextOf(draw));
        const faults = validateDesign(design, { catalog, takenSubnets }).filter(({ code }) => !code.startsWith("DMZ_"));
        const isWhole = design.lans.length === input.lans.length && design.deckies.length === input.deckies.length;
        if (faults.length > 0 || !isWhole) expect.fail(`seed ${seed}: ${JSON.stringify({ input, faults })}`);
      });
      if (reason !== "" && reason !== "TOPOLOGY_INVALID") expect.fail(`seed ${seed}: ${reason}`);
      seen.set(reason, (seen.get(reason) ?? 0) + 1);
    }
    for (const reason of ["", "TOPOLOGY_INVALID"]) expect(seen.get(reason) ?? 0, reason).toBeGreaterThan(100);
  });

  it("6,000 edits that nobody would ask for are refused for a reason, or move nobody whom they do not name", () => {
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= 200; seed += 1) {
      const draw = createDraw(seed);
      const context = contextOf(draw);
      const state = draw.pick(states);
      let design: Design = freeze({ lans: [{ name: "dmz", subnet: "10.0.0.0/24", isDmz: true }], deckies: [] });
      for (let round = 0; round < 30; round += 1) {
        const edit = drawEdit(draw);
        const before = design;
        const reason = reasonOf(() => {
          design = freeze(editDesign({ design: before, state }, edit, context));
        });
        const troubles = troublesOf(before, design, { edit, state, reason });
        if (troubles.length > 0) expect.fail(`seed ${seed}, edit ${round}, ${JSON.stringify(edit)}: ${troubles.join(", ")}`);
        seen.set(reason, (seen.get(reason) ?? 0) + 1);
      }
    }
    for (const reason of ["", "TOPOLOGY_INVALID", "LAN_NOT_FOUND"]) expect(seen.get(reason) ?? 0, reason).toBeGreaterThan(300);
  });
});
