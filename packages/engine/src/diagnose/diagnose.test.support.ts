import { noLeavings, noSockets, type ObservedContainer, type ObservedDecky, type PortUse } from "../observe/observed.ts";
import { planDecky } from "../plan/plan-decky.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { diagnoseDecky } from "./diagnose.ts";
import { judgeDecky } from "./judge.ts";

export const image = { tag: "decnet/ssh:1", context: "/c", buildBase: "base" };
export const wanted: RenderedDecky = {
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

export const startedAt = "2026-01-01T00:00:00Z";
export const place = { network: "lan", networkId: "N", pinned: "10.0.0.7", address: "10.0.0.7", mac: "00:50:56:00:00:01" };
export const base: ObservedContainer = {
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
  attachments: [place],
  startedAt,
  restartCount: 0,
  pid: 1,
  netns: "n1",
  joined: undefined,
};
export const ssh: ObservedContainer = {
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

export interface Situation {
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

export function observe(situation: Situation): ObservedDecky {
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

export function see(situation: Situation) {
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

export type Row = readonly [situation: string, facts: Situation, word: string, sentence: string, cure: string];

export const cutOff = "is cut off from the base's network";
export const gone = "joined a base that is gone";
export const other = "runs with other settings than wanted";
export const altered = "is not what was made here: other environment";
export const reattach = "restart: detached from the base, settle";
export const waits = "end that process, or remove the service; what is wanted is tried again by itself once the port is free";
export const rejoin = "recreate: joined a base that is gone, settle";

export const ftp: ObservedContainer = { ...ssh, id: "F", name: "web-ftp", service: "ftp" };

/** Somebody of a container, or of the host. */
export function heldBy(port: string, container: string): PortUse {
  return { port, isLocal: false, holder: { pid: 66, command: "nc", container } };
}

/** A limit that has been used up for so many seconds when a container has run for a minute. */
export function fullFor(seconds: number) {
  return { sentence: "all is in use", since: Date.parse(startedAt) + (60 - seconds) * 1_000 };
}
