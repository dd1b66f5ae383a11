import { describe, expect, it } from "vitest";
import { differingTraits, type Inspection, traitsOf } from "./traits.ts";

const made: Inspection = {
  Image: "sha256:1",
  Config: {
    Hostname: "h",
    User: "4379",
    Env: ["A=1", "B=2"],
    Cmd: null,
    Entrypoint: ["/entry"],
    Labels: { "decnet.hash": "h1", "com.docker.compose.config-hash": "c1" },
  },
  HostConfig: {
    NetworkMode: "container:B",
    CapAdd: ["SETUID", "CHOWN"],
    CapDrop: ["ALL"],
    Memory: 1024,
    RestartPolicy: { Name: "always", MaximumRetryCount: 0 },
    Tmpfs: { "/run": "" },
    Ulimits: null,
    Privileged: false,
  },
  Mounts: [
    { Type: "volume", Name: "keys", Source: "/a", Destination: "/keys", RW: true, Propagation: "" },
    { Type: "bind", Source: "/s", Destination: "/secrets", RW: false, Propagation: "rprivate" },
  ],
};
const config = (more: object): Inspection => ({ ...made, Config: { ...made.Config, ...more } });
const host = (more: object): Inspection => ({ ...made, HostConfig: { ...made.HostConfig, ...more } });

describe("what a container is differs in", () => {
  it.each<readonly [string, Inspection, string[]]>([
    ["its image", { ...made, Image: "sha256:2" }, ["image"]],
    ["a variable", config({ Env: ["A=1", "B=3"] }), ["environment"]],
    ["a variable more", config({ Env: ["A=1", "B=2", "C=3"] }), ["environment"]],
    ["its command", config({ Cmd: ["sh"] }), ["command"]],
    ["its entrypoint", config({ Entrypoint: ["sh"] }), ["command"]],
    ["its working folder", config({ WorkingDir: "/tmp" }), ["command"]],
    ["its health check", config({ Healthcheck: { Test: ["NONE"] } }), ["command"]],
    ["its user", config({ User: "0" }), ["user"]],
    ["a label", config({ Labels: { "decnet.hash": "h1", more: "1" } }), ["labels"]],
    ["a published port", host({ PortBindings: { "22/tcp": [{ HostPort: "22" }] } }), ["ports"]],
    ["a capability", host({ CapAdd: ["SETUID", "CHOWN", "NET_ADMIN"] }), ["capabilities"]],
    ["a capability that is not dropped", host({ CapDrop: null }), ["capabilities"]],
    ["privileges", host({ Privileged: true }), ["privileges"]],
    ["a device", host({ Devices: [{ PathOnHost: "/dev/kvm" }] }), ["privileges"]],
    ["a namespace of the host", host({ PidMode: "host" }), ["namespaces"]],
    ["a sysctl", host({ Sysctls: { "net.ipv4.ip_default_ttl": "64" } }), ["namespaces"]],
    ["its memory", host({ Memory: 2048 }), ["limits"]],
    ["its restart policy", host({ RestartPolicy: { Name: "no", MaximumRetryCount: 0 } }), ["restart policy"]],
    ["a mount", { ...made, Mounts: made.Mounts.slice(1) }, ["mounts"]],
    ["a mount that may be written", { ...made, Mounts: made.Mounts.map((mount) => ({ ...mount, RW: true })) }, ["mounts"]],
    ["a folder of memory", host({ Tmpfs: { "/run": "", "/tmp": "" } }), ["mounts"]],
    ["its name servers", host({ Dns: ["192.0.2.1"] }), ["names"]],
    ["its log", host({ LogConfig: { Type: "none" } }), ["others"]],
    ["what nobody thought of", host({ Novelty: "x" }), ["others"]],
  ])("%s", (_, seen, parts) => {
    expect(differingTraits(traitsOf(made), traitsOf(seen))).toEqual(parts);
  });

  it("its host name, unless that is another container's", () => {
    const alone = host({ NetworkMode: "lan" });
    const named = (inspection: Inspection) => ({ ...inspection, Config: { ...inspection.Config, Hostname: "i" } });
    expect(differingTraits(traitsOf(alone), traitsOf(named(alone)))).toEqual(["hostname"]);
    expect(differingTraits(traitsOf(made), traitsOf(named(made)))).toEqual([]);
  });
});

describe("what a container is stays the same", () => {
  it.each<readonly [string, Inspection]>([
    ["with its variables in another order", config({ Env: ["B=2", "A=1"] })],
    ["with its mounts in another order", { ...made, Mounts: [...made.Mounts].reverse() }],
    ["with its capabilities in another order", host({ CapAdd: ["CHOWN", "SETUID"] })],
    ["when an engine says nothing in another way", host({ Ulimits: [], Privileged: null, Dns: [], PidMode: "", OomScoreAdj: 0 })],
    ["when an engine says more than before, which is nothing", host({ Novelty: false, Annotations: {} })],
    ["with other labels of compose", config({ Labels: { "decnet.hash": "h1", "com.docker.compose.config-hash": "c2" } })],
    ["after a new base", host({ NetworkMode: "container:C" })],
    ["when compose listened to it or did not", config({ AttachStdout: true, AttachStderr: true })],
  ])("%s", (_, seen) => {
    expect(differingTraits(traitsOf(made), traitsOf(seen))).toEqual([]);
  });

  it("with its limits in another order", () => {
    const limits = ["nofile", "core"].map((Name) => ({ Name, Hard: 1, Soft: 1 }));
    const seen = host({ Ulimits: [...limits].reverse() });
    expect(differingTraits(traitsOf(host({ Ulimits: limits })), traitsOf(seen))).toEqual([]);
  });

  it("with another volume that has no name of its own", () => {
    const anonymous = (digit: string): Inspection => ({
      ...made,
      Mounts: [{ Type: "volume", Name: digit.repeat(64), Source: `/v/${digit}`, Destination: "/data", RW: true }],
    });
    expect(differingTraits(traitsOf(anonymous("a")), traitsOf(anonymous("b")))).toEqual([]);
  });
});
