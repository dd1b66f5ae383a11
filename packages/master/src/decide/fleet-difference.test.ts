import { atOnce } from "@decnet/common/runtime/slices";
import { debianBase } from "@decnet/engine/tables/distros";
import { describe, expect, it } from "vitest";
import { type Decky, newDecky, type StoredService } from "../model/decky.ts";
import type { LanOnHost } from "../model/lan.ts";
import { parseSubnet } from "./addresses.ts";
import type { DeckyChange } from "./decky-change.ts";
import type { ExpandedFleet, WantedDecky } from "./expand-fleet.ts";
import { fleetDifference, type PresentFleet } from "./fleet-difference.ts";

const lan = { name: "lan", driver: "bridge", subnet: "10.0.0.0/29", gateway: "10.0.0.1", parent: undefined } as const;
const now = new Date("2026-01-01T00:00:00Z");
const password = { key: "password", secret: true };
const catalog = { services: new Map([["ssh", { fields: [password] }]]) };
const identity = {
  ...{ hostname: "web", distro: "debian", osFamily: "linux", archetype: "" },
  ...{ baseImage: debianBase, buildBase: debianBase },
};

function stored(name: string, ip: string, more: Partial<Decky> = {}): Decky {
  return {
    ...newDecky({
      ...{ id: name, scope: "fleet", name, host: "local", identity, createdAt: now },
      attachments: [{ lan, ip, mac: `mac of ${name}` }],
    }),
    ...{ appliedRevision: 1, renderedRevision: 1, state: "running" },
    ...more,
  };
}

function wanted(name: string, more: Partial<WantedDecky> = {}): WantedDecky {
  const common = { archetype: "", ip: undefined, distro: "debian", hostname: undefined, osFamily: "linux", placement: undefined };
  return { name, services: [{ slug: "ssh", config: {} }], egress: [], ...common, ...more };
}

function fleetOf(deckies: readonly WantedDecky[], more: Partial<ExpandedFleet> = {}): ExpandedFleet {
  const subnet = parseSubnet(lan.subnet);
  if (subnet === undefined) throw new Error("no subnet");
  const common = { driftPolicy: "repair", movePolicy: "remove_first", defaultPlacement: undefined, ipStart: undefined } as const;
  return { lan, subnet, deckies, ...common, ...more };
}

const worker = (name: string) => ({ name, labels: {}, draining: false, isReachable: true });
const hosts = [{ ...worker("local"), isMasters: true }, worker("edge-1"), worker("edge-2")];

function present(deckies: readonly Decky[], services: readonly StoredService[] = [{ slug: "ssh", config: {} }]): PresentFleet {
  return { deckies, services: new Map(deckies.map(({ id }) => [id, services])), hosts, own: "local" };
}

function difference(fleet: PresentFleet, to: ExpandedFleet | undefined): DeckyChange[] {
  const numbers = Array.from({ length: 100 }, (_, index) => index / 100).values();
  const random = () => numbers.next().value ?? 0;
  return atOnce(fleetDifference(fleet, to, { catalog, now, makeId: () => "new-id", random }));
}

const tell = (changes: readonly DeckyChange[]) =>
  changes.map(({ action, decky, host, attachments, services }) =>
    [action, decky.name, "on", host, attachments[0].ip, `[${services.map(({ slug }) => slug).join(" ")}]`].join(" "),
  );

const web = stored("web", "10.0.0.2");
const db = stored("db", "10.0.0.3");
const redis = { services: [{ slug: "redis", config: {} }] };
const balanced = { placement: { kind: "balanced" } } as const;

describe("a LAN on its hosts", () => {
  const lans = (more: Record<string, Partial<LanOnHost>>) =>
    new Map(Object.entries(more).map(([host, seen]) => [host, { trouble: "", taken: [], ...seen }]));
  const camera = { address: "10.0.0.3", holder: "the container camera" };
  const refused = (message: string) => expect.objectContaining({ reason: "FLEET_INVALID", message });

  it("leaves addresses alone that others have on any of them", () => {
    const seen = lans({
      local: { taken: [camera] },
      "edge-1": { taken: [{ address: "10.0.0.4", holder: "this host, on eth0" }] },
    });
    const to = fleetOf([wanted("web"), wanted("new")]);
    expect(tell(difference({ ...present([web]), lans: seen }, to))).toEqual([
      "keep web on local 10.0.0.2 [ssh]",
      "deploy new on local 10.0.0.5 [ssh]",
    ]);
  });

  it("is refused with who has an address that is asked for", () => {
    const to = fleetOf([wanted("web", { ip: "10.0.0.3" })]);
    const message = "fleet.deckies: web wants 10.0.0.3, which the container camera, on edge-1 has";
    for (const from of [present([]), present([web])])
      expect(() => difference({ ...from, lans: lans({ "edge-1": { taken: [camera] } }) }, to)).toThrow(refused(message));
  });

  it("is refused where a decky would come to a host that cannot have it, and only there", () => {
    const seen = lans({ "edge-1": { trouble: "it is full" } });
    const on = (name: string) => fleetOf([wanted("web", { placement: { kind: "host", name } })]);
    const message = "fleet.lan: host edge-1 cannot have this LAN: it is full";
    expect(() => difference({ ...present([]), lans: seen }, on("edge-1"))).toThrow(refused(message));
    expect(() => difference({ ...present([web]), lans: seen }, on("edge-1"))).toThrow(refused(message));
    expect(tell(difference({ ...present([{ ...web, host: "edge-1" }]), lans: seen }, on("edge-1")))).toEqual([
      "keep web on edge-1 10.0.0.2 [ssh]",
    ]);
    expect(tell(difference({ ...present([]), lans: seen }, on("edge-2")))).toEqual(["deploy web on edge-2 10.0.0.2 [ssh]"]);
  });
});

describe("what becomes of each decky", () => {
  it.each<[name: string, from: PresentFleet, to: ExpandedFleet | undefined, changes: string[]]>([
    ["nothing differs", present([web]), fleetOf([wanted("web")]), ["keep web on local 10.0.0.2 [ssh]"]],
    ["other services", present([web]), fleetOf([wanted("web", redis)]), ["change web on local 10.0.0.2 [redis]"]],
    ["another address", present([web]), fleetOf([wanted("web", { ip: "10.0.0.4" })]), ["redeploy web on local 10.0.0.4 [ssh]"]],
    [
      "another hostname",
      present([web]),
      fleetOf([wanted("web", { hostname: "other" })]),
      ["redeploy web on local 10.0.0.2 [ssh]"],
    ],
    [
      "another family of systems",
      present([web]),
      fleetOf([wanted("web", { osFamily: "windows" })]),
      ["redeploy web on local 10.0.0.2 [ssh]"],
    ],
    [
      "another host, and other services with it",
      present([web]),
      fleetOf([wanted("web", { ...redis, placement: { kind: "host", name: "edge-2" } })]),
      ["move web on edge-2 10.0.0.2 [redis]"],
    ],
    [
      "no longer wanted: those that go come first",
      present([web, db]),
      fleetOf([wanted("web")]),
      ["teardown db on local 10.0.0.3 [ssh]", "keep web on local 10.0.0.2 [ssh]"],
    ],
    ["no longer wanted, and on its way out", present([{ ...web, leaving: true }]), fleetOf([]), []],
    [
      "no longer wanted, and its teardown failed: once more",
      present([{ ...web, leaving: true, retryAt: now }]),
      undefined,
      ["teardown web on local 10.0.0.2 [ssh]"],
    ],
    [
      "its teardown failed, and it is wanted after all",
      present([{ ...web, leaving: true, retryAt: now }]),
      fleetOf([wanted("web")]),
      ["change web on local 10.0.0.2 [ssh]"],
    ],
    [
      "no fleet is wanted",
      present([web, db]),
      undefined,
      ["teardown web on local 10.0.0.2 [ssh]", "teardown db on local 10.0.0.3 [ssh]"],
    ],
    [
      "new deckies get the free addresses in order, never the gateway's or one that somebody has",
      present([web]),
      fleetOf([wanted("new-1"), wanted("web"), wanted("new-2", { ip: "10.0.0.3" }), wanted("new-3")]),
      [
        "deploy new-1 on local 10.0.0.4 [ssh]",
        "keep web on local 10.0.0.2 [ssh]",
        "deploy new-2 on local 10.0.0.3 [ssh]",
        "deploy new-3 on local 10.0.0.5 [ssh]",
      ],
    ],
    [
      "a decky that goes has its address until it is gone",
      present([web]),
      fleetOf([wanted("new")]),
      ["teardown web on local 10.0.0.2 [ssh]", "deploy new on local 10.0.0.3 [ssh]"],
    ],
    [
      "balanced deckies are spread, counting those that stay and not those that go",
      present([stored("a", "10.0.0.2", { host: "edge-1" }), stored("b", "10.0.0.3", { host: "edge-2" })]),
      fleetOf([wanted("a", balanced), wanted("c", balanced), wanted("d", balanced)]),
      [
        "teardown b on edge-2 10.0.0.3 [ssh]",
        "keep a on edge-1 10.0.0.2 [ssh]",
        "deploy c on edge-2 10.0.0.4 [ssh]",
        "deploy d on edge-1 10.0.0.5 [ssh]",
      ],
    ],
    [
      "the fleet's placement is for new deckies: others stay where they are",
      present([web]),
      fleetOf([wanted("web"), wanted("new")], { defaultPlacement: { kind: "host", name: "edge-2" } }),
      ["keep web on local 10.0.0.2 [ssh]", "deploy new on edge-2 10.0.0.3 [ssh]"],
    ],
  ])("%s", (_name, from, to, changes) => expect(tell(difference(from, to))).toEqual(changes));
});

describe("what refuses a fleet", () => {
  it.each<[name: string, from: PresentFleet, to: ExpandedFleet, message: string]>([
    [
      "another LAN while deckies use it",
      present([web]),
      fleetOf([], { lan: { ...lan, gateway: "10.0.0.6" } }),
      "deckies live on lan",
    ],
    [
      "an address that another decky has",
      present([web, db]),
      fleetOf([wanted("web", { ip: "10.0.0.3" }), wanted("db")]),
      "web wants 10.0.0.3, which db has until it is gone",
    ],
    ["a decky that is being torn down", present([{ ...web, leaving: true }]), fleetOf([wanted("web")]), "is being torn down"],
    [
      "more deckies than the LAN has addresses",
      present([web]),
      fleetOf(["a", "b", "c", "d", "web", "e"].map((name) => wanted(name))),
      "has no free address left",
    ],
  ])("%s", (_name, from, to, message) => expect(() => difference(from, to)).toThrow(message));

  it("not another LAN while there is no decky", () => {
    expect(difference(present([]), fleetOf([], { lan: { ...lan, gateway: "10.0.0.6" } }))).toEqual([]);
  });
});

it("a secret that the file does not name is kept, one that it names is replaced, and other settings go", () => {
  const from = present([web], [{ slug: "ssh", config: { password: "old", port: 22 } }]);
  const configOf = (config: StoredService["config"]) =>
    difference(from, fleetOf([wanted("web", { services: [{ slug: "ssh", config }] })]))[0]?.services[0]?.config;
  expect(configOf({ banner: "hi" })).toEqual({ password: "old", banner: "hi" });
  expect(configOf({ password: "new" })).toEqual({ password: "new" });
});

it("a decky keeps the identity that was made up for it", () => {
  const [change] = difference(present([web]), fleetOf([wanted("web", redis)]));
  expect(change?.identity).toEqual(identity);
});

it("a new decky is what the file says, and the rest is made up", () => {
  const [change] = difference(present([]), fleetOf([wanted("web", { hostname: "bait", archetype: "web-server" })]));
  expect(change?.decky).toMatchObject({
    ...{ id: "new-id", name: "web", host: "local", state: "pending", version: 1, lastHost: null },
    ...{ desiredRevision: 1, appliedRevision: 0, renderedRevision: 0 },
    attachments: [{ lan, ip: "10.0.0.2", mac: expect.stringMatching(/^00:50:56:/) }],
    identity: { hostname: "bait", archetype: "web-server", distro: "debian" },
  });
});
