import { describe, expect, it } from "vitest";
import type { Design, TopologyDecky } from "../../model/topology.ts";
import { type Edit, editDesign } from "./edit.ts";
import { takeBackEdit, traceEdit } from "./take-back.ts";

const decky = (name: string, ...places: readonly string[]): TopologyDecky => ({
  id: `id-${name}`,
  name,
  archetype: "",
  services: [],
  forwards: false,
  attachments: places.map((place) => {
    const [lan = "", ip = ""] = place.split(" ");
    return { lan, ip, mac: `00:50:56:00:${ip.split(".").slice(2).join(":")}` };
  }),
});

const first: Design = {
  lans: [
    { name: "dmz", subnet: "10.0.0.0/24", isDmz: true },
    { name: "core", subnet: "10.0.1.0/24", isDmz: false },
    { name: "far", subnet: "10.0.2.0/24", isDmz: false },
  ],
  deckies: [
    { ...decky("gateway", "dmz 10.0.0.2", "core 10.0.1.2"), forwards: true },
    decky("web", "core 10.0.1.3", "far 10.0.2.3"),
    decky("db", "far 10.0.2.4"),
  ],
};

/** A LAN that is nobody's home. */
const withExtra: Design = {
  lans: [...first.lans.slice(0, 1), { name: "extra", subnet: "10.0.3.0/24", isDmz: false }, ...first.lans.slice(1)],
  deckies: first.deckies.map((each) =>
    each.name === "web" ? decky("web", "core 10.0.1.3", "extra 10.0.3.3", "far 10.0.2.3") : each,
  ),
};

/** One word for each LAN, one line for each decky. */
const tell = ({ lans, deckies }: Design) => [
  lans.map(({ name, subnet }) => `${name} ${subnet}`).join(", "),
  ...deckies.map(
    ({ name, forwards, egress, attachments }) =>
      `${name}${forwards ? " forwards" : ""}${egress === undefined ? "" : " calls"}: ${attachments
        .map(({ lan, ip }) => `${lan} ${ip}`)
        .join(", ")}`,
  ),
];

let drawn = 0;
/** Never the same twice. */
const random = () => {
  drawn += 1;
  return (drawn % 10_000) / 10_000;
};
const edited = (design: Design, edits: readonly Edit[]) =>
  edits.reduce(
    (now, edit) =>
      editDesign({ design: now, state: "active" }, edit, {
        usedSubnets: [],
        subnetBase: "10.0.0.0/8",
        makeId: () => `id-${edit.kind === "add_decky" ? edit.name : ""}`,
        random,
      }),
    design,
  );

const added = (name: string, lan = "far") =>
  ({ kind: "add_decky", name, archetype: "", services: [], forwards: false, lans: [{ lan, ip: "" }] }) as const;
const attached = (name: string, lan: string, ip = "") => ({ kind: "attach_decky", name, place: { lan, ip } }) as const;
const detached = (name: string, lan: string) => ({ kind: "detach_decky", name, lan }) as const;
const removed = (name: string) => ({ kind: "remove_decky", name }) as const;
const updated = (name: string, more: { forwards?: boolean; egress?: TopologyDecky["egress"] }) => ({
  ...({ kind: "update_decky", name, archetype: undefined, services: undefined, forwards: undefined } as const),
  ...more,
});
const lanRemoved = (name: string) => ({ kind: "remove_lan", name }) as const;
const lanAdded = (name: string, subnet = "") => ({ kind: "add_lan", name, subnet, isDmz: false }) as const;
const calls = [{ cidr: "198.51.100.7/32", protocol: "tcp", port: 443 }] as const;

interface Given {
  readonly from?: Design;
  readonly edit: Edit;
  /** What others made of the design since. */
  readonly later?: readonly Edit[];
  /** Of the deckies that were designed before or are now; all others are there. */
  readonly gone?: readonly string[];
  readonly leaving?: readonly string[];
  readonly taken?: string;
}

function takeBack({ from = first, edit, later = [], gone = [], leaving = [], taken }: Given) {
  const after = edited(from, [edit]);
  const now = edited(after, later);
  const names = [...first.deckies, ...now.deckies].map(({ name }) => name).filter((name) => !gone.includes(name));
  const there = new Map(names.map((name) => [`id-${name}`, { leaving: leaving.includes(name) }]));
  const takenSubnets = taken === undefined ? [] : [{ subnet: taken, holder: "the topology lab" }];
  // As it comes back from the database.
  const trace = JSON.parse(JSON.stringify(traceEdit(from, after))) as ReturnType<typeof traceEdit>;
  return takeBackEdit(now, trace, { there, takenSubnets });
}

describe("an edit that is taken back leaves the design as it was before", () => {
  it.each<readonly [what: string, given: Given]>([
    ["a LAN was added", { edit: lanAdded("vault") }],
    ["a LAN was removed that a decky was on", { edit: lanRemoved("extra"), from: withExtra }],
    ["a decky was added, and is not there", { edit: added("mail"), gone: ["mail"] }],
    ["a decky was added, and is being torn down", { edit: added("mail"), leaving: ["mail"] }],
    ["a decky was added, and stands", { edit: added("mail") }],
    ["a decky was removed, and its teardown was cancelled", { edit: removed("web") }],
    ["a decky was attached", { edit: attached("db", "core") }],
    ["a decky was detached", { edit: detached("web", "far") }],
    ["a decky forwards", { edit: updated("web", { forwards: true }) }],
    ["a decky forwards no longer", { edit: updated("gateway", { forwards: false }) }],
    ["a decky may call somebody", { edit: updated("web", { egress: calls }) }],
  ])("%s", (_, given) => {
    expect(takeBack(given)).toEqual({ design: given.from ?? first, stays: [] });
  });
});

describe("what others changed since is theirs", () => {
  it.each<readonly [what: string, given: Given, differs: readonly string[], stays: readonly string[]]>([
    [
      "another decky was added: both are apart",
      { edit: added("mail"), later: [added("news", "core")], gone: ["mail"] },
      ["+ news: core 10.0.1.4"],
      [],
    ],
    [
      "the decky that was attached forwards: it is only detached",
      { edit: attached("db", "core"), later: [updated("db", { forwards: true })] },
      ["- db: far 10.0.2.4", "+ db forwards: far 10.0.2.4"],
      [],
    ],
    [
      "the decky that was attached is on a third LAN as well: it is only detached from the one",
      { edit: attached("db", "core"), later: [attached("db", "dmz")] },
      ["- db: far 10.0.2.4", "+ db: far 10.0.2.4, dmz 10.0.0.3"],
      [],
    ],
    [
      "the decky that was attached was detached again by somebody: there is nothing to take back",
      { edit: attached("db", "core"), later: [detached("db", "core")] },
      [],
      [],
    ],
    [
      "the decky that was attached was attached again elsewhere on that LAN: that stays",
      { edit: attached("db", "core"), later: [detached("db", "core"), attached("db", "core", "10.0.1.99")] },
      ["- db: far 10.0.2.4", "+ db: far 10.0.2.4, core 10.0.1.99"],
      ["db was attached to core again since"],
    ],
    [
      "the decky that was attached was removed",
      { edit: attached("db", "core"), later: [removed("db")] },
      ["- db: far 10.0.2.4"],
      [],
    ],
    [
      "somebody has the address that a decky left",
      { edit: detached("web", "far"), later: [attached("gateway", "far", "10.0.2.3")] },
      [
        "- gateway forwards: dmz 10.0.0.2, core 10.0.1.2",
        "- web: core 10.0.1.3, far 10.0.2.3",
        "+ gateway forwards: dmz 10.0.0.2, core 10.0.1.2, far 10.0.2.3",
        "+ web: core 10.0.1.3",
      ],
      ["web is not on far: gateway has its address 10.0.2.3 by now"],
    ],
    [
      "the LAN that a decky left was removed",
      { from: withExtra, edit: detached("web", "extra"), later: [lanRemoved("extra")] },
      [
        "- dmz 10.0.0.0/24, extra 10.0.3.0/24, core 10.0.1.0/24, far 10.0.2.0/24",
        "- web: core 10.0.1.3, extra 10.0.3.3, far 10.0.2.3",
        "+ dmz 10.0.0.0/24, core 10.0.1.0/24, far 10.0.2.0/24",
        "+ web: core 10.0.1.3, far 10.0.2.3",
      ],
      ["web is not on extra, which is not there any more"],
    ],
    [
      "another topology has the network of the LAN that was removed",
      { from: withExtra, edit: lanRemoved("extra"), taken: "10.0.3.0/25" },
      [
        "- dmz 10.0.0.0/24, extra 10.0.3.0/24, core 10.0.1.0/24, far 10.0.2.0/24",
        "- web: core 10.0.1.3, extra 10.0.3.3, far 10.0.2.3",
        "+ dmz 10.0.0.0/24, core 10.0.1.0/24, far 10.0.2.0/24",
        "+ web: core 10.0.1.3, far 10.0.2.3",
      ],
      ["the LAN extra is gone: the topology lab has 10.0.3.0/25 by now", "web is not on extra, which is not there any more"],
    ],
    [
      "a LAN of that name was added again",
      { from: withExtra, edit: lanRemoved("extra"), later: [lanAdded("extra", "10.0.9.0/24")] },
      [
        "- dmz 10.0.0.0/24, extra 10.0.3.0/24, core 10.0.1.0/24, far 10.0.2.0/24",
        "+ dmz 10.0.0.0/24, core 10.0.1.0/24, far 10.0.2.0/24, extra 10.0.9.0/24",
        "- web: core 10.0.1.3, extra 10.0.3.3, far 10.0.2.3",
        "+ web: core 10.0.1.3, far 10.0.2.3",
      ],
      ["another LAN is called extra by now", "web is not on extra, which is another network by now"],
    ],
    [
      "a decky that was added, and stands, was attached to another LAN: it stays",
      { edit: added("mail"), later: [attached("mail", "core")] },
      ["+ mail: far 10.0.2.2, core 10.0.1.4"],
      ["mail stays: it was changed since"],
    ],
    [
      "a decky that was added, and never stood, was attached to another LAN: there is nothing to attach",
      { edit: added("mail"), later: [attached("mail", "core")], gone: ["mail"] },
      [],
      [],
    ],
    ["a decky that was added was removed", { edit: added("mail"), later: [removed("mail")] }, [], []],
    [
      "a decky that was removed is gone: it does not come back",
      { edit: removed("db"), gone: ["db"] },
      ["- db: far 10.0.2.4"],
      ["db is gone"],
    ],
    [
      "a decky that was removed goes on leaving",
      { edit: removed("db"), leaving: ["db"] },
      ["- db: far 10.0.2.4"],
      ["db is still being torn down"],
    ],
    [
      "what a decky may call was changed again: that stays",
      { edit: updated("db", { egress: calls }), later: [updated("db", { egress: [...calls, { ...calls[0], port: 80 }] })] },
      ["- db: far 10.0.2.4", "+ db calls: far 10.0.2.4"],
      ["egress of db was changed since"],
    ],
    [
      "a LAN that was added has a decky by now: it stays",
      { edit: lanAdded("vault"), later: [attached("db", "vault")] },
      [
        "- dmz 10.0.0.0/24, core 10.0.1.0/24, far 10.0.2.0/24",
        "- db: far 10.0.2.4",
        "+ dmz 10.0.0.0/24, core 10.0.1.0/24, far 10.0.2.0/24, vault 10.0.3.0/24",
        "+ db: far 10.0.2.4, vault 10.0.3.2",
      ],
      ["the LAN vault stays: db is on it"],
    ],
  ])("%s", (_, given, differs, stays) => {
    const back = takeBack(given);
    const [was, is] = [tell(given.from ?? first), tell(back.design)];
    const difference = [
      ...was.filter((line) => !is.includes(line)).map((line) => `- ${line}`),
      ...is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`),
    ];
    expect({ differs: difference.sort(), stays: back.stays }).toEqual({ differs: [...differs].sort(), stays });
  });
});
