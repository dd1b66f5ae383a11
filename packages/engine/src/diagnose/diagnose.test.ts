import { describe, expect, it } from "vitest";
import {
  noLeavings,
  noSockets,
  type ObservedContainer,
  type ObservedDecky,
  type ObservedInterfaces,
  type PortUse,
} from "../observe/observed.ts";
import { planDecky } from "../plan/plan-decky.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { diagnoseDecky } from "./diagnose.ts";
import { judgeDecky } from "./judge.ts";

const image = { tag: "decnet/ssh:1", context: "/c", buildBase: "base" };
const wanted: RenderedDecky = {
  spec: {
    scope: "fleet",
    name: "web",
    revision: 2,
    hostname: "h",
    baseImage: "base",
    buildBase: "base",
    osFamily: "linux",
    attachments: [{ lan: { name: "lan", driver: "bridge", subnet: "", gateway: "", parent: undefined }, ip: "", mac: "" }],
    forwards: false,
    services: [],
  },
  project: "decnet-web",
  base: { name: "web", hash: "b1", image: "base", places: [{ network: "lan", address: "10.0.0.7", mac: "00:50:56:00:00:01" }] },
  publications: [],
  services: [
    {
      name: "web-ssh",
      service: "ssh",
      hash: "h1",
      image,
      ports: [
        { number: 22, protocol: "tcp" },
        { number: 23, protocol: "udp" },
      ],
      settleMs: 15_000,
      stopGraceSeconds: 2,
    },
  ],
  files: [],
};

const startedAt = "2026-01-01T00:00:00Z";
const base: ObservedContainer = {
  id: "B",
  name: "web",
  role: "base",
  service: "",
  hash: "b1",
  catalog: "",
  status: "running",
  exitCode: 0,
  composedAs: "decnet-web/web",
  traits: { image: "i1", environment: "e1" },
  attachments: [{ network: "lan", networkId: "N", pinned: "10.0.0.7", address: "10.0.0.7", mac: "00:50:56:00:00:01" }],
  startedAt,
  restartCount: 0,
  pid: 1,
  netns: "n1",
  joined: undefined,
};
const ssh: ObservedContainer = {
  ...base,
  id: "S",
  name: "web-ssh",
  role: "service",
  service: "ssh",
  hash: "h1",
  composedAs: "decnet-web/web-ssh",
  attachments: [],
  joined: "B",
};

interface Situation {
  /** What differs from a container that is as it should be; undefined: there is none. */
  readonly base?: Partial<ObservedContainer> | undefined;
  readonly ssh?: Partial<ObservedContainer> | undefined;
  /** Ports that the service itself listens on. */
  readonly listening?: readonly string[];
  /** Sockets of others. */
  readonly uses?: readonly PortUse[];
  /** How long the containers have run. */
  readonly seconds?: number;
  readonly others?: readonly ObservedContainer[];
  /** What the kernel says of the base's namespace. */
  readonly interfaces?: ObservedDecky["interfaces"];
}

function observe(situation: Situation): ObservedDecky {
  const { listening = ["22/tcp", "23/udp"], uses = [], others = [], interfaces } = situation;
  const present = (whole: ObservedContainer, key: "base" | "ssh") =>
    key in situation && situation[key] === undefined ? [] : [{ ...whole, ...situation[key] }];
  const containers = [...present(base, "base"), ...present(ssh, "ssh"), ...others];
  const isThere = containers.some(({ id }) => id === "S");
  const own = (isThere ? listening : []).map(
    (port): PortUse => ({ port, isLocal: false, holder: { pid: 7, command: "sshd", container: "S" } }),
  );
  return { scope: "fleet", name: "web", containers, sockets: { ...noSockets, uses: [...own, ...uses] }, interfaces };
}

const networks = new Map([["lan", { id: "N", subnet: "" }]]);

function see(situation: Situation) {
  const observed = observe(situation);
  const now = Date.parse(startedAt) + (situation.seconds ?? 60) * 1_000;
  const diagnosed = diagnoseDecky(wanted, observed, { made: { web: base.traits, "web-ssh": ssh.traits }, networks, now });
  const host = {
    images: new Set(["base", image.tag]),
    networks,
    nameHolders: new Map(),
    project: { isThere: true, differing: [] },
    lans: new Map(),
    containments: new Map(),
    access: undefined,
    leaves: noLeavings,
  };
  const { steps } = planDecky({ observed, diagnosed, projectDigest: "same", host, portsOf: () => [] });
  const planned = (slug: string) =>
    steps
      .filter((step) => step.service === slug)
      .map((step) => (step.verb === "settle" ? "settle" : `${step.verb}: ${step.cause}`))
      .join(", ");
  return { diagnosed, judged: judgeDecky(diagnosed), steps, planned };
}

type Row = readonly [situation: string, facts: Situation, word: string, sentence: string, cure: string];

const cutOff = "is cut off from the base's network";
const gone = "joined a base that is gone";
const other = "runs with other settings than wanted";
const altered = "is not what was made here: other environment";
const reattach = "restart: detached from the base, settle";
const waits = "end that process, or remove the service; what is wanted is tried again by itself once the port is free";
const rejoin = "recreate: joined a base that is gone, settle";

const ftp: ObservedContainer = { ...ssh, id: "F", name: "web-ftp", service: "ftp" };

/** Somebody of a container, or of the host. */
function heldBy(port: string, container: string): PortUse {
  return { port, isLocal: false, holder: { pid: 66, command: "nc", container } };
}

/** A limit that has been used up for so many seconds when a container has run for a minute. */
function fullFor(seconds: number) {
  return { sentence: "all is in use", since: Date.parse(startedAt) + (60 - seconds) * 1_000 };
}

const serviceRows: readonly Row[] = [
  ["all as wanted", {}, "running", "", ""],
  ["no container", { ssh: undefined }, "missing", "there is no container", "create: requested, settle"],
  ["exited", { ssh: { status: "exited", exitCode: 3 } }, "exited", "exited with code 3", "start: exited with code 3, settle"],
  ["created", { ssh: { status: "created" } }, "exited", "was never started", "start: never started, settle"],
  ["paused", { ssh: { status: "paused" } }, "exited", "is paused", "restart: is paused, settle"],
  ["dead", { ssh: { status: "dead" } }, "exited", "is dead", "recreate: is dead, settle"],
  ["being removed", { ssh: { status: "removing" } }, "exited", "is being removed", "recreate: is being removed, settle"],
  [
    "restarting",
    { ssh: { status: "restarting", exitCode: 1, restartCount: 3 } },
    "restarting",
    "exited with code 1 and is being restarted",
    "recreate: restarts again and again, settle",
  ],
  [
    "restarting, and the engine has not tried for long",
    { ssh: { status: "restarting", exitCode: 1, restartCount: 2 } },
    "restarting",
    "exited with code 1 and is being restarted",
    "settle",
  ],
  [
    "up again for a moment, between two ends",
    { ssh: { restartCount: 5, lastExitCode: 7 }, seconds: 9 },
    "restarting",
    "exited with code 7 and was restarted 5 times",
    "recreate: restarts again and again, settle",
  ],
  [
    "up again for a moment, and nobody saw how it ended",
    { ssh: { restartCount: 2 }, seconds: 1 },
    "restarting",
    "ended and was restarted 2 times",
    "settle",
  ],
  ["restarted once, and up again", { ssh: { restartCount: 1 }, seconds: 1 }, "running", "", ""],
  ["restarted many times, and up for long", { ssh: { restartCount: 9 } }, "running", "", ""],
  ["other settings", { ssh: { hash: "h0" } }, "outdated", other, "recreate: config changed, settle"],
  [
    "other settings, and exited",
    { ssh: { hash: "h0", status: "exited", exitCode: 3 } },
    "exited",
    "exited with code 3",
    "recreate: config changed, settle",
  ],
  [
    "other settings, and restarting",
    { ssh: { hash: "h0", status: "restarting", exitCode: 1 } },
    "restarting",
    "exited with code 1 and is being restarted",
    "recreate: config changed, settle",
  ],
  [
    "made from an edited file by somebody else, under the same labels",
    { ssh: { traits: { ...ssh.traits, environment: "e2" } } },
    "outdated",
    altered,
    `recreate: ${altered}, settle`,
  ],
  [
    "made without compose, under the same labels",
    { ssh: { composedAs: "", traits: { image: "i2", environment: "e2" } } },
    "outdated",
    "is not what was made here: other environment, image",
    ["remove", "create"]
      .map((act) => `${act}: is not what was made here: other environment, image`)
      .join(", ")
      .concat(", settle"),
  ],
  [
    "renamed by hand",
    { ssh: { name: "web-x" } },
    "outdated",
    "is called web-x instead of web-ssh",
    "rename: is called web-x instead of web-ssh",
  ],
  [
    "renamed by hand, and exited",
    { ssh: { name: "web-x", status: "exited" } },
    "exited",
    "exited with code 0",
    "rename: is called web-x instead of web-ssh, start: exited with code 0, settle",
  ],
  ["joined an earlier base", { ssh: { joined: "A" } }, "detached", gone, rejoin],
  ["joined an earlier base, and exited", { ssh: { joined: "A", status: "exited" } }, "exited", "exited with code 0", rejoin],
  ["in a namespace that the base left", { ssh: { netns: "n0" } }, "detached", cutOff, reattach],
  ["silent, and still in time", { listening: [], seconds: 5 }, "not_listening", "does not listen on 22/tcp, 23/udp", "settle"],
  [
    "one port silent for too long",
    { listening: ["22/tcp"] },
    "not_listening",
    "does not listen on 23/udp",
    "restart: does not listen on 23/udp, settle",
  ],
  [
    "a process of the base has a port",
    { listening: ["22/tcp"], uses: [heldBy("23/udp", "B")] },
    "port_taken",
    `23/udp is held by process 66 (nc) in the base web; ${waits}`,
    "settle",
  ],
  [
    "a process of another service has a port, and the server ends for it",
    { ssh: { status: "restarting", exitCode: 2, restartCount: 8 }, listening: [], uses: [heldBy("22/tcp", "F")], others: [ftp] },
    "port_taken",
    `exited with code 2 and is being restarted; 22/tcp is held by process 66 (nc) in web-ftp (service ftp); ${waits}`,
    "restart: 22/tcp was held by others, settle",
  ],
  [
    "a process of a foreign container has both ports",
    { listening: [], uses: [heldBy("22/tcp", "f".repeat(64)), heldBy("23/udp", "")] },
    "port_taken",
    "22/tcp is held by process 66 (nc) in container ffffffffffff, which is not of this decky; " +
      `23/udp is held by process 66 (nc) of the host, in no container; ${waits}`,
    "settle",
  ],
  [
    "nobody that can be seen has a port",
    { listening: ["23/udp"], uses: [{ port: "22/tcp", isLocal: false, holder: undefined }] },
    "port_taken",
    `22/tcp is held by a process that cannot be seen; ${waits}`,
    "settle",
  ],
  [
    "somebody listens beside it",
    { uses: [heldBy("22/tcp", "B")] },
    "port_taken",
    `22/tcp is held by process 66 (nc) in the base web; ${waits}`,
    "settle",
  ],
  [
    "somebody listens beside it where only the decky reaches",
    { uses: [{ ...heldBy("22/tcp", "B"), isLocal: true }] },
    "running",
    "",
    "",
  ],
  [
    "it listens where only the decky reaches",
    { listening: ["23/udp"], uses: [{ ...heldBy("22/tcp", "S"), isLocal: true }] },
    "not_listening",
    "does not listen on 22/tcp",
    "restart: does not listen on 22/tcp, settle",
  ],
  [
    "somebody has a port, and there is no container",
    { ssh: undefined, listening: [], uses: [heldBy("22/tcp", "B")] },
    "missing",
    `there is no container; 22/tcp is held by process 66 (nc) in the base web; ${waits}`,
    `blocked: 22/tcp is held by process 66 (nc) in the base web; ${waits}, create: requested, settle`,
  ],
  [
    "somebody has a port, and the container is another one",
    { ssh: { hash: "h0" }, listening: ["23/udp"], uses: [heldBy("22/tcp", "B")] },
    "port_taken",
    `22/tcp is held by process 66 (nc) in the base web; ${waits}`,
    `blocked: 22/tcp is held by process 66 (nc) in the base web; ${waits}, recreate: config changed, settle`,
  ],
  [
    "somebody in a base that is replaced has a port",
    { base: { hash: "b0" }, listening: ["23/udp"], uses: [heldBy("22/tcp", "B")] },
    "port_taken",
    `22/tcp is held by process 66 (nc) in the base web; ${waits}`,
    rejoin,
  ],
  ["a limit is used up", { ssh: { exhaustion: fullFor(59) } }, "exhausted", "all is in use", "settle"],
  ["a limit stays used up", { ssh: { exhaustion: fullFor(61) } }, "exhausted", "all is in use", "restart: all is in use, settle"],
  [
    "a limit is used up, and it does not listen any more",
    { ssh: { exhaustion: fullFor(1) }, listening: ["22/tcp"] },
    "exhausted",
    "all is in use; does not listen on 23/udp",
    "restart: all is in use; does not listen on 23/udp, settle",
  ],
  ["base stopped", { base: { status: "exited", netns: undefined } }, "detached", cutOff, reattach],
  [
    "base stopped, and exited",
    { base: { status: "exited", netns: undefined }, ssh: { status: "exited" } },
    "exited",
    "exited with code 0",
    "start: exited with code 0, settle",
  ],
  ["base gone", { base: undefined }, "detached", gone, rejoin],
];

const place = base.attachments[0]!;

const eth0 = { name: "eth0", mac: place.mac, isUp: true };
const kernel = (more: Partial<ObservedInterfaces> = {}, device: Partial<typeof eth0> = {}): ObservedInterfaces => ({
  interfaces: [{ ...eth0, ...device }],
  addresses: new Set(["10.0.0.7"]),
  ...more,
});

const baseRows: readonly Row[] = [
  ["all as wanted", {}, "running", "", ""],
  ["no container", { base: undefined }, "missing", "there is no container", "create: base is absent"],
  ["exited", { base: { status: "exited", exitCode: 137 } }, "exited", "exited with code 137", "start: base is exited"],
  ["created", { base: { status: "created" } }, "exited", "was never started", "start: base is created"],
  ["paused", { base: { status: "paused" } }, "exited", "is paused", "restart: base is paused"],
  ["dead", { base: { status: "dead" } }, "exited", "is dead", "recreate: base is dead"],
  [
    "restarting",
    { base: { status: "restarting" } },
    "restarting",
    "exited with code 0 and is being restarted",
    "restart: base is restarting",
  ],
  ["another identity", { base: { hash: "b0" } }, "outdated", other, "recreate: identity changed"],
  [
    "another identity, and exited",
    { base: { hash: "b0", status: "exited" } },
    "exited",
    "exited with code 0",
    "recreate: identity changed",
  ],
  [
    "made from an edited file by somebody else",
    { base: { traits: { ...base.traits, environment: "e2" } } },
    "outdated",
    altered,
    `recreate: ${altered}`,
  ],
  ["renamed by hand", { base: { name: "x" } }, "outdated", "is called x instead of web", "rename: is called x instead of web"],
  [
    "disconnected from its LAN",
    { base: { attachments: [] } },
    "detached",
    "is not on the network lan",
    "recreate: is not on the network lan",
  ],
  [
    "connected again at another address",
    { base: { attachments: [{ ...place, pinned: "10.0.0.9", address: "10.0.0.9" }] } },
    "detached",
    "has the address 10.0.0.9 instead of 10.0.0.7",
    "recreate: has the address 10.0.0.9 instead of 10.0.0.7",
  ],
  [
    "connected again without its MAC address",
    { base: { attachments: [{ ...place, mac: "02:42:0a:00:00:07" }] } },
    "detached",
    "has the MAC address 02:42:0a:00:00:07 instead of 00:50:56:00:00:01",
    "recreate: has the MAC address 02:42:0a:00:00:07 instead of 00:50:56:00:00:01",
  ],
  ["as the kernel says, too", { interfaces: kernel() }, "running", "", ""],
  ...(
    [
      ["no interface", kernel({ interfaces: [] }), "has no network interface"],
      [
        "another MAC address",
        kernel({}, { mac: "02:00:00:00:00:01" }),
        `has the MAC address 02:00:00:00:00:01 instead of ${place.mac}`,
      ],
      ["an interface that is down", kernel({}, { isUp: false }), "has its interface eth0 down"],
      ["no address", kernel({ addresses: new Set() }), "does not have its address 10.0.0.7"],
    ] as const
  ).map(
    ([what, interfaces, sentence]): Row => [
      `${what}, set in its namespace`,
      { interfaces },
      "detached",
      sentence,
      `recreate: ${sentence}`,
    ],
  ),
  [
    "stopped, on a network that was removed and made again",
    { base: { status: "exited", attachments: [{ ...place, networkId: "M", address: "", mac: "" }] } },
    "exited",
    "exited with code 0",
    "recreate: is on a network lan that is gone",
  ],
  [
    "stopped, and as it was made",
    { base: { status: "exited", attachments: [{ ...place, address: "", mac: "" }] } },
    "exited",
    "exited with code 0",
    "start: base is exited",
  ],
  [
    "on a foreign network, too",
    { base: { attachments: [place, { ...place, network: "bridge" }] } },
    "outdated",
    "is on the network bridge, too",
    "leave-network: the decky is on no other LAN",
  ],
];

describe("the diagnosis of a service, and its cure", () => {
  it.each(serviceRows)("%s", (_, situation, word, sentence, cure) => {
    const { diagnosed, judged, planned } = see(situation);
    expect(diagnosed.services.map(({ diagnosis }) => [diagnosis.word, diagnosis.sentence, planned("ssh")])).toEqual([
      [word, sentence, cure],
    ]);
    expect(judged.services.map(({ state, message }) => [state, message])).toEqual([[word, sentence]]);
  });
});

describe("the diagnosis of a base, and its cure", () => {
  it.each(baseRows)("%s", (_, situation, word, sentence, cure) => {
    const { diagnosed, planned } = see(situation);
    const { diagnosis } = diagnosed.base;
    expect([diagnosis.word, diagnosis.sentence, planned("")]).toEqual([word, sentence, cure]);
  });
});

describe("a service whose base is taken from under it, though nothing is wrong with it yet", () => {
  it.each([
    ["paused", { base: { status: "paused" } }, reattach],
    ["restarting", { base: { status: "restarting" } }, reattach],
    ["of another identity", { base: { hash: "b0" } }, rejoin],
    ["dead", { base: { status: "dead" } }, rejoin],
  ] as const)("base %s", (_, situation, cure) => {
    const { judged, planned } = see(situation);
    expect([judged.services[0]?.state, planned("ssh")]).toEqual(["running", cure]);
  });
});

describe("state and plan agree", () => {
  const surplus = { ...ssh, id: "F", name: "web-ftp", service: "ftp" };
  const rows = [...serviceRows, ...baseRows].map(([situation, facts]) => [situation, facts] as const);

  it.each<readonly [string, Situation]>([...rows, ["a service too many", { others: [surplus] }]])("%s", (_, situation) => {
    const { diagnosed, judged, steps } = see(situation);
    expect(judged.state === "running").toBe(steps.length === 0);
    for (const { slug, state } of judged.services)
      if (state !== "running") expect(steps.some((step) => step.service === slug)).toBe(true);
    if (diagnosed.base.diagnosis.word !== "running") expect(steps.some((step) => step.service === "")).toBe(true);
  });
});

describe("the state of a decky", () => {
  const surplus = { ...ssh, id: "F", name: "web-ftp", service: "ftp" };

  it.each<readonly [string, Situation, string, string]>([
    ["nothing is there", { base: undefined, ssh: undefined }, "pending", "no container was seen"],
    ["all as wanted", {}, "running", ""],
    ["no base", { base: undefined }, "failed", "base: there is no container"],
    ["base stopped", { base: { status: "exited", netns: undefined } }, "failed", "base: exited with code 0"],
    ["base of another identity", { base: { hash: "b0" } }, "degraded", "base: runs with other settings than wanted"],
    ["service gone", { ssh: undefined }, "degraded", "ssh: there is no container"],
    ["service silent", { listening: [] }, "degraded", "ssh: does not listen on 22/tcp, 23/udp"],
    ["service cut off", { ssh: { netns: "n0" } }, "detached", "ssh: is cut off from the base's network"],
    ["a service too many", { others: [surplus] }, "degraded", "ftp: is no longer wanted"],
  ])("%s", (_, situation, state, message) => {
    const { judged } = see(situation);
    expect([judged.state, judged.message]).toEqual([state, message]);
  });
});

it("a service is shown with its container, what listens, and the sessions on its ports", () => {
  const observed = observe({ listening: ["22/tcp", "80/tcp"] });
  const peer = "198.51.100.7:4000";
  const sessions = [22, 22, 80].map((port) => ({ protocol: "tcp" as const, port, peer }));
  const sockets = { ...observed.sockets, sessions };
  const { services } = judgeDecky(diagnoseDecky(wanted, { ...observed, sockets }, { made: {}, now: 0 }));
  expect(services).toMatchObject([
    { containerName: "web-ssh", containerId: "S", startedAt, restartCount: 0, listening: ["22/tcp"], openSessions: 2 },
  ]);
});

it("a container that is no longer wanted gives up the ports that it has", () => {
  const { judged, steps, planned } = see({ listening: ["23/udp"], uses: [heldBy("22/tcp", "F")], others: [ftp] });
  expect(judged.message).toBe(
    `ssh: 22/tcp is held by process 66 (nc) in web-ftp (service ftp); ${waits}; ftp: is no longer wanted`,
  );
  expect(steps.map(({ verb, target }) => `${verb} ${target}`)).toEqual([
    "stop web-ftp",
    "remove web-ftp",
    "restart web-ssh",
    "settle web-ssh",
  ]);
  expect(planned("ssh")).toBe("restart: 22/tcp was held by others, settle");
});

it("a limit that stays used up is left alone where that is wanted", () => {
  const observed = observe({ ssh: { exhaustion: { sentence: "all is in use", since: 0 } } });
  const { services } = diagnoseDecky(wanted, observed, { made: {}, now: Date.parse(startedAt) + 60_000, exhaustedMs: 0 });
  expect(services[0]?.diagnosis).toMatchObject({ word: "exhausted", remedy: "wait" });
});

it("a base whose limit is used up is said to be so, and its services go on", () => {
  const { judged, steps } = see({ base: { exhaustion: { sentence: "all is in use", since: 0 } } });
  expect([judged.state, judged.message, judged.services[0]?.state, steps]).toEqual([
    "degraded",
    "base: all is in use",
    "running",
    [],
  ]);
});
