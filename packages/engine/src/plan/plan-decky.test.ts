import { describe, expect, it } from "vitest";
import { noLeavings, type ObservedContainer, type ObservedDecky, type ObservedHost } from "../observe/observed.ts";
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
    ip: "",
    mac: "",
    services: [],
    lan: { name: "lan", driver: "bridge", subnet: "", gateway: "", parent: undefined },
  },
  project: "decnet-web",
  base: { name: "web", hash: "b1", image: "base" },
  services: [
    {
      name: "web-ssh",
      slug: "ssh",
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
  slug: "",
  hash: "b1",
  catalogue: "",
  status: "running",
  exitCode: 0,
  startedAt: "2026-01-01T00:00:00Z",
  restartCount: 0,
  pid: 1,
  netns: "n1",
  joined: undefined,
  ...more,
});
const ssh = (more: Partial<ObservedContainer> = {}): ObservedContainer => ({
  ...base(),
  id: "S",
  name: "web-ssh",
  role: "service",
  slug: "ssh",
  hash: "h1",
  joined: "B",
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
      sessions: Array.from({ length: options.sessions ?? 0 }, () => ({
        protocol: "tcp" as const,
        port: 22,
        peer: "198.51.100.7:4000",
      })),
    },
  };
  const host = {
    images: new Set(["base", image.tag]),
    networks: new Set(["lan"]),
    foreignNames: new Set<string>(),
    projectDigest: "same",
    access: undefined,
    leaves: noLeavings,
    ...options.host,
  };
  return planDecky({
    wanted: "wanted" in options ? options.wanted : wanted(),
    projectDigest: "same",
    observed,
    host,
    portsOf: () => [22],
    now: Date.parse("2026-01-01T00:01:00Z"),
  });
};

describe("a plan", () => {
  it("is empty when the world is as wanted", () => {
    expect(formatPlan(plan([base(), ssh()]))).toBe("nothing to do");
  });

  it("of a new decky builds first, and starts the base before what joins it", () => {
    expect(
      formatPlan(plan([], { host: { images: new Set(["base"]), networks: new Set(), projectDigest: "" }, listening: [] })),
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

  it.each([
    ["settings that changed recreate one service", [base(), ssh()], "h2", ["recreate web-ssh (config changed)"]],
    [
      "a service that exited is started",
      [base(), ssh({ status: "exited", exitCode: 3 })],
      "h1",
      ["start web-ssh (exited with code 3)"],
    ],
    [
      "a base that was restarted leaves joiners to restart",
      [base({ netns: "n2" }), ssh()],
      "h1",
      ["restart web-ssh (detached from the base)"],
    ],
    [
      "a base that was stopped is started, and its joiners restart",
      [base({ status: "exited", netns: undefined }), ssh()],
      "h1",
      ["start web (base is exited)", "restart web-ssh (detached from the base)"],
    ],
    [
      "a base that is gone is made again, and its joiners with it",
      [ssh()],
      "h1",
      ["create web (base is absent)", "recreate web-ssh (joined a base that is gone)"],
    ],
    [
      "another identity needs a new base",
      [base({ hash: "b0" }), ssh()],
      "h1",
      ["recreate web (identity changed)", "recreate web-ssh (joined a base that is gone)"],
    ],
  ])("%s", (_, containers, hash, steps) => {
    const lines = formatPlan(plan(containers, { wanted: wanted(hash) }))
      .split("\n")
      .map((line) => line.replace(/^\d+ /, ""));
    expect(lines).toEqual([...steps, "settle web-ssh (22/tcp must listen within 15 s)"]);
  });

  it("stops and removes what is no longer wanted, and names everybody else as untouched", () => {
    const made = plan([base(), ssh(), ssh({ id: "F", name: "web-ftp", slug: "ftp" })]);
    expect(formatPlan(made)).toBe("1 stop web-ftp (no longer wanted)\n2 remove web-ftp (no longer wanted)");
    expect(made.untouched).toEqual(["web", "web-ssh"]);
  });

  it("restarts what has not listened for longer than its deadline", () => {
    expect(formatPlan(plan([base(), ssh()], { listening: [] }))).toContain("restart web-ssh (does not listen on 22/tcp)");
  });

  it("names the open sessions that it cuts", () => {
    expect(plan([base(), ssh()], { wanted: wanted("h2"), sessions: 2 }).risks).toMatchObject([
      { code: "cut-sessions", count: 2 },
    ]);
    expect(plan([base(), ssh()], { sessions: 2 }).risks).toEqual([]);
  });

  it("of a teardown takes services before the base, and files last", () => {
    expect(formatPlan(plan([base(), ssh()], { wanted: undefined }))).toBe(
      "1 stop web-ssh (teardown)\n2 remove web-ssh (teardown)\n3 stop web (teardown)\n4 remove web (teardown)\n5 remove-project web (teardown)",
    );
  });

  it("has another digest when the world is another one", () => {
    const one = plan([base(), ssh()], { wanted: wanted("h2") }).digest;
    expect(plan([base(), ssh()], { wanted: wanted("h2") }).digest).toBe(one);
    expect(plan([base(), ssh({ id: "T" })], { wanted: wanted("h2") }).digest).not.toBe(one);
  });
});
