import { describe, expect, it } from "vitest";
import { diagnoseDecky } from "../diagnose/diagnose.ts";
import { unseenLan } from "../observe/lan.ts";
import { noLeavings, noProject, type ObservedContainer, type ObservedDecky, type ObservedHost } from "../observe/observed.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { formatPlan } from "./plan.ts";
import { planDecky } from "./plan-decky.ts";

const image = { tag: "decnet/ssh:1", context: "/c", buildBase: "base" };
const wanted = (hash = "h1"): RenderedDecky => ({
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
  base: { name: "web", hash: "b1", image: "base", places: [{ network: "lan", address: "10.0.0.7", mac: undefined }] },
  publications: [],
  services: [
    {
      name: "web-ssh",
      service: "ssh",
      hash,
      image,
      ports: [{ number: 22, protocol: "tcp" }],
      settleMs: 15_000,
      stopGraceSeconds: 2,
    },
  ],
  files: [],
});
const base = (more: Partial<ObservedContainer> = {}): ObservedContainer => ({
  id: "B",
  name: "web",
  role: "base",
  service: "",
  hash: "b1",
  catalog: "",
  status: "running",
  exitCode: 0,
  startedAt: "2026-01-01T00:00:00Z",
  restartCount: 0,
  pid: 1,
  netns: "n1",
  joined: undefined,
  composedAs: "decnet-web/web",
  traits: {},
  attachments: [{ network: "lan", networkId: "N", pinned: "10.0.0.7", address: "10.0.0.7", mac: "" }],
  ...more,
});
const ssh = (more: Partial<ObservedContainer> = {}): ObservedContainer => ({
  ...base(),
  id: "S",
  name: "web-ssh",
  role: "service",
  service: "ssh",
  hash: "h1",
  joined: "B",
  composedAs: "decnet-web/web-ssh",
  attachments: [],
  ...more,
});
const plan = (
  containers: ObservedContainer[],
  options: { wanted?: RenderedDecky | undefined; host?: Partial<ObservedHost>; listening?: string[]; sessions?: number } = {},
) => {
  const observed: ObservedDecky = {
    scope: "fleet",
    name: "web",
    containers,
    sockets: {
      listening: new Set(options.listening ?? ["22/tcp"]),
      uses: (containers.some(({ id }) => id === "S") ? (options.listening ?? ["22/tcp"]) : []).map((port) => ({
        port,
        isLocal: false,
        holder: { pid: 2, command: "sshd", container: "S" },
      })),
      sessions: Array.from({ length: options.sessions ?? 0 }, () => ({
        protocol: "tcp" as const,
        port: 22,
        peer: "198.51.100.7:4000",
      })),
    },
  };
  const host = {
    images: new Set(["base", image.tag]),
    networks: new Map([["lan", { id: "N", subnet: "" }]]),
    nameHolders: new Map(),
    project: { isThere: true, differing: [] },
    lans: new Map(),
    containments: new Map(),
    access: undefined,
    leaves: noLeavings,
    ...options.host,
  };
  const rendered = "wanted" in options ? options.wanted : wanted();
  const now = Date.parse("2026-01-01T00:01:00Z");
  const diagnosed =
    rendered === undefined ? undefined : diagnoseDecky(rendered, observed, { made: {}, networks: host.networks, now });
  return planDecky({ observed, diagnosed, projectDigest: "same", host, portsOf: () => [22] });
};

describe("a plan", () => {
  it("is empty when the world is as wanted", () => {
    expect(formatPlan(plan([base(), ssh()]))).toBe("nothing to do");
  });

  it("of a new decky builds first, and starts the base before what joins it", () => {
    expect(
      formatPlan(plan([], { host: { images: new Set(["base"]), networks: new Map(), project: noProject }, listening: [] })),
    ).toBe(
      [
        "1 prepare-image decnet/ssh:1 (image is absent)",
        "2 create-network lan (network is absent)",
        "3 write-project decnet-web (revision 2)",
        "4 create web (base is absent)",
        "5 create web-ssh (requested)",
        "6 settle web-ssh (22/tcp must listen within 15 s)",
      ].join("\n"),
    );
  });

  it.each<readonly [string, ObservedContainer[], string[]]>([
    ["settings that changed recreate one service", [base(), ssh({ hash: "h0" })], ["recreate web-ssh (config changed)"]],
    [
      "a base that was stopped is started, and its services after it",
      [base({ status: "exited", netns: undefined }), ssh()],
      ["start web (base is exited)", "restart web-ssh (detached from the base)"],
    ],
    [
      "a base that is gone is made again, and its services with it",
      [ssh()],
      ["create web (base is absent)", "recreate web-ssh (joined a base that is gone)"],
    ],
    [
      "another identity needs a new base",
      [base({ hash: "b0" }), ssh()],
      ["recreate web (identity changed)", "recreate web-ssh (joined a base that is gone)"],
    ],
  ])("%s", (_, containers, steps) => {
    const lines = formatPlan(plan(containers))
      .split("\n")
      .map((line) => line.replace(/^\d+ /, ""));
    expect(lines).toEqual([...steps, "settle web-ssh (22/tcp must listen within 15 s)"]);
  });

  it("stops and removes what is no longer wanted, and names all others as untouched", () => {
    const made = plan([base(), ssh(), ssh({ id: "F", name: "web-ftp", service: "ftp" })]);
    expect(formatPlan(made)).toBe("1 stop web-ftp (no longer wanted)\n2 remove web-ftp (no longer wanted)");
    expect(made.untouched).toEqual(["web", "web-ssh"]);
  });

  it("takes the same image for several containers once, and only those that are made", () => {
    const twin = { ...wanted().services[0]!, name: "web-sftp", slug: "sftp", hash: "h2" };
    const two = { ...wanted(), services: [...wanted().services, twin] };
    const lines = formatPlan(plan([base()], { wanted: two, host: { images: new Set() }, listening: [] })).split("\n");
    expect(lines.filter((line) => line.includes("prepare-image"))).toEqual(["1 prepare-image decnet/ssh:1 (image is absent)"]);
    expect(lines.filter((line) => line.includes("network"))).toEqual([]);
  });

  it("writes the files of a project that somebody changed", () => {
    expect(formatPlan(plan([base(), ssh()], { host: { project: { isThere: true, differing: ["compose.yaml"] } } }))).toBe(
      "1 write-project decnet-web (files differ from revision 2)",
    );
  });

  it("names the open sessions that it cuts", () => {
    expect(plan([base(), ssh()], { wanted: wanted("h2"), sessions: 2 }).risks).toMatchObject([
      { code: "cut-sessions", count: 2 },
    ]);
    expect(plan([base(), ssh()], { sessions: 2 }).risks).toEqual([]);
  });

  it("says that a new base restarts everything", () => {
    expect(plan([base({ hash: "b0" }), ssh()], { sessions: 1 }).risks).toEqual([
      { code: "cut-sessions", count: 1, message: "1 open session will be cut", subjects: ["198.51.100.7:4000 on 22/tcp"] },
      { code: "restart-base", count: 2, message: "all 2 containers of the decky restart", subjects: ["web", "web-ssh"] },
    ]);
  });

  it("of a teardown takes services before the base, then what they had on the host, and files last", () => {
    const leaves = {
      routes: [{ to: "10.0.0.7", helper: "decnet_macvlan0" }],
      networks: [{ network: "lan", owner: "decnet i lan" }],
    };
    const teardown = plan([base(), ssh({ status: "exited" })], { wanted: undefined, host: { leaves } });
    expect(formatPlan(teardown)).toBe(
      [
        "1 remove web-ssh (teardown)",
        "2 stop web (teardown)",
        "3 remove web (teardown)",
        "4 remove-route 10.0.0.7 (teardown)",
        "5 release-network lan (goes with the last decky on it)",
        "6 remove-project web (teardown)",
      ].join("\n"),
    );
    expect(teardown.risks.map((risk) => risk.code)).toEqual(["teardown"]);
    expect(formatPlan(plan([], { wanted: undefined, host: { project: noProject } }))).toBe("nothing to do");
  });

  it("releases the networks that a base leaves when it is made again, and those that it left before, last of all", () => {
    const leaves = (isLeft: boolean) => ({ leaves: { routes: [], networks: [{ network: "far", owner: "", isLeft }] } });
    const release = "release-network far (goes with the last decky on it)";
    const again = formatPlan(plan([base({ hash: "b0" }), ssh()], { host: leaves(false) })).split("\n");
    expect(again.at(-1)).toContain(release);
    expect(formatPlan(plan([base(), ssh()], { host: leaves(true) }))).toBe(`1 ${release}`);
    expect(formatPlan(plan([base(), ssh()], { host: leaves(false) }))).toBe("nothing to do");
  });

  describe("gives names back", () => {
    const other = "0123456789abcdef";
    it.each<readonly [string, ObservedContainer[], Partial<ObservedHost>, string[]]>([
      ["of a service", [base(), ssh({ name: "x" })], {}, ["rename web-ssh (is called x instead of web-ssh)"]],
      [
        "that two of ours swapped, one after the other",
        [base({ name: "web-ssh" }), ssh({ name: "web" })],
        {},
        [
          "rename web-aside-S (has the name web wrongly)",
          "rename web-ssh-aside-B (has the name web-ssh wrongly)",
          "rename web (is called web-ssh instead of web)",
          "rename web-ssh (is called web instead of web-ssh)",
        ],
      ],
      [
        "that another decky's container has",
        [base(), ssh({ name: "x" })],
        { nameHolders: new Map([["web-ssh", { id: other, isOurs: true }]]) },
        ["rename web-ssh-aside-0123456789ab (has the name web-ssh wrongly)", "rename web-ssh (is called x instead of web-ssh)"],
      ],
      [
        "that another decky's container has, before it makes one",
        [base()],
        { nameHolders: new Map([["web-ssh", { id: other, isOurs: true }]]) },
        [
          "rename web-ssh-aside-0123456789ab (has the name web-ssh wrongly)",
          "create web-ssh (requested)",
          "settle web-ssh (22/tcp must listen within 15 s)",
        ],
      ],
      [
        "from one that goes, by its id",
        [base(), ssh({ name: "x" }), ssh({ id: "F", name: "web-ssh", service: "ftp" })],
        { nameHolders: new Map([["web-ssh", { id: "F", isOurs: true }]]) },
        [
          "stop web-ssh (no longer wanted)",
          "remove web-ssh (no longer wanted)",
          "rename web-ssh (is called x instead of web-ssh)",
        ],
      ],
    ])("%s", (_, containers, host, steps) => {
      const text = formatPlan(plan(containers, { host }));
      expect(text.split("\n").map((line) => line.replace(/^\d+ /, ""))).toEqual(steps);
    });
  });

  it("keeps the container with the right name of two that are the same service, and removes the other one", () => {
    const copy = ssh({ id: "T", name: "web-ssh-run" });
    expect(formatPlan(plan([base(), copy, ssh()]))).toBe(
      "1 stop web-ssh-run (one too many)\n2 remove web-ssh-run (one too many)",
    );
  });

  it("makes a base again whose network is another one, and says when a network cannot carry the decky", () => {
    const other = { networks: new Map([["lan", { id: "M", subnet: "" }]]) };
    expect(formatPlan(plan([base({ status: "exited" }), ssh()], { host: other }))).toContain(
      "recreate web (is on a network lan that is gone)",
    );
    const trouble = "the Docker network lan is there already; docker network rm lan";
    const wrong = { lans: new Map([["lan", { ...unseenLan, trouble }]]) };
    expect(plan([], { host: wrong }).steps.find(({ verb }) => verb === "blocked")?.cause).toContain("docker network rm lan");
  });

  describe("with a container name that somebody else has", () => {
    const taken = { nameHolders: new Map([["web-ssh", { id: "X", isOurs: false }]]) };
    const blocked = "blocked web-ssh (the container name web-ssh is taken by a container that is not ours; remove or rename it)";

    it.each<readonly [string, ObservedContainer[], string]>([
      ["a service that is missing", [base()], "create web-ssh (requested)"],
      [
        "our container under another name",
        [base(), ssh({ name: "web-x" })],
        "rename web-ssh (is called web-x instead of web-ssh)",
      ],
    ])("stops before anything is disturbed: %s", (_, containers, act) => {
      expect(
        formatPlan(plan(containers, { host: taken }))
          .split("\n")
          .slice(0, 2),
      ).toEqual([`1 ${blocked}`, `2 ${act}`]);
    });

    it("does not mind it while no container needs the name", () => {
      expect(formatPlan(plan([base(), ssh()], { host: taken }))).toBe("nothing to do");
      expect(formatPlan(plan([base(), ssh({ status: "exited" })], { host: taken }))).not.toContain("blocked");
    });

    it("blames the service whose name it is", () => {
      expect(plan([base()], { host: taken }).steps[0]).toMatchObject({ verb: "blocked", service: "ssh", target: "web-ssh" });
    });

    it("is not the plan that was made before the name was taken", () => {
      expect(plan([base()], { host: taken }).digest).not.toBe(plan([base()]).digest);
    });
  });

  it("is the same plan when somebody else has got its images meanwhile", () => {
    const [absent, present] = [new Set<string>(), new Set(["base", image.tag])].map((images) =>
      plan([base()], { host: { images }, listening: [] }),
    );
    expect(absent?.steps.map(({ verb }) => verb)).toContain("prepare-image");
    expect(present?.steps.map(({ verb }) => verb)).not.toContain("prepare-image");
    expect(absent?.digest).toBe(present?.digest);
  });

  it("has the same digest while a container that it removes keeps being restarted", () => {
    const gone = { ...wanted(), services: [] };
    const quits = (more: Partial<ObservedContainer>) =>
      plan([base(), ssh({ restartCount: 3, ...more })], { wanted: gone }).digest;
    const between = quits({ status: "restarting", pid: 0, exitCode: 1 });
    expect(quits({ status: "running", startedAt: "2026-01-01T00:00:09Z" })).toBe(between);
    expect(quits({ id: "T", status: "restarting", pid: 0, exitCode: 1 })).not.toBe(between);
  });

  it("has another digest when the world differs", () => {
    const one = plan([base(), ssh()], { wanted: wanted("h2") }).digest;
    expect(plan([base(), ssh()], { wanted: wanted("h2") }).digest).toBe(one);
    expect(plan([base(), ssh({ id: "T" })], { wanted: wanted("h2") }).digest).not.toBe(one);
  });
});
