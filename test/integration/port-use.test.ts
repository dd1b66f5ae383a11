import { usesOf } from "@decnet/engine/diagnose/port-uses";
import { noSockets } from "@decnet/engine/observe/observed";
import { createHolderSearch } from "@decnet/engine/observe/port-holders";
import { createSocketCache } from "@decnet/engine/observe/socket-cache";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dockerLines, eventually } from "../support/use-master.ts";

const prefix = `t${process.env["DECNET_TEST_RUN"] ?? ""}use`;

describe("whose a port is, in a namespace that two services share", () => {
  const ports = [7_100, 7_101, 7_102, 7_103, 7_104, 7_105, 7_106, 7_107].flatMap((number) =>
    (["tcp", "udp"] as const).map((protocol) => ({ number, protocol })),
  );
  const cache = createSocketCache(new Set(ports.map(({ number, protocol }) => `${number}/${protocol}`)));
  let containers: { id: string; pid: number }[] = [];

  const run = async (name: string, ...more: string[]) => {
    await execa("docker", ["run", "-d", "--init", "--name", `${prefix}-${name}`, ...more, debianBase, "sleep", "600"]);
    const [line = ""] = await dockerLines(["inspect", "--format", "{{.Id}} {{.State.Pid}}", `${prefix}-${name}`]);
    const [id = "", pid] = line.split(" ");
    return { id, pid: Number(pid) };
  };
  beforeAll(async () => {
    const base = await run("base", "--network", "none");
    const join = ["--network", `container:${prefix}-base`];
    containers = [base, await run("own", ...join), await run("other", ...join)];
  });
  afterAll(async () => {
    const left = await dockerLines(["ps", "-aq", "--filter", `name=^/${prefix}-`]);
    if (left.length > 0) await execa("docker", ["rm", "-f", ...left]);
  });

  const exec = (name: string, program: string) =>
    execa("docker", ["exec", "-d", `${prefix}-${name}`, "perl", "-MSocket=:all", "-e", `${program}; sleep 600`]);
  const v4 = (kind: string, port: number, address = "0.0.0.0") =>
    `socket($s, AF_INET, ${kind}, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEPORT, 1); ` +
    `bind($s, sockaddr_in(${port}, inet_aton("${address}"))) or die; ${kind === "SOCK_STREAM" ? "listen($s, 5)" : ""}`;
  const v6 = (kind: string, port: number) =>
    `socket($s, AF_INET6, ${kind}, 0) or die; setsockopt($s, 41, 26, 1); ` +
    `bind($s, pack_sockaddr_in6(${port}, inet_pton(AF_INET6, "::"))) or die; ${kind === "SOCK_STREAM" ? "listen($s, 5)" : ""}`;
  /** What has become of a port from the view of the service `own`. */
  const look = async (number: number, protocol: "tcp" | "udp") => {
    const [base, own] = containers;
    const place = { pid: base?.pid ?? 0, containers };
    const sockets = (await cache.observe(place, 0, createHolderSearch())) ?? noSockets;
    const { own: mine, taken } = usesOf([{ number, protocol }], own, sockets);
    const holder = containers.findIndex(({ id }) => id === taken[0]?.holder?.container);
    return mine.length > 0 ? "own" : taken.length > 0 ? `taken by ${["base", "own", "other"][holder] ?? "?"}` : "silent";
  };

  it.each([
    ["its own over TCP", 7_100, "tcp", [["own", v4("SOCK_STREAM", 7_100)]], "own"],
    ["its own over UDP", 7_100, "udp", [["own", v4("SOCK_DGRAM", 7_100)]], "own"],
    ["its own over IPv6", 7_101, "tcp", [["own", v6("SOCK_STREAM", 7_101)]], "own"],
    [
      "its own after the process that opened it left it to a child and ended",
      7_102,
      "tcp",
      [["own", `${v4("SOCK_STREAM", 7_102)}; $^F = 99; exit if fork; `]],
      "own",
    ],
    ["another service's over UDP", 7_101, "udp", [["other", v4("SOCK_DGRAM", 7_101)]], "taken by other"],
    ["another service's over UDP and IPv6", 7_102, "udp", [["other", v6("SOCK_DGRAM", 7_102)]], "taken by other"],
    ["the base's over IPv6", 7_103, "tcp", [["base", v6("SOCK_STREAM", 7_103)]], "taken by base"],
    [
      "shared: the other one gets what comes over IPv6",
      7_104,
      "tcp",
      [
        ["own", v4("SOCK_STREAM", 7_104)],
        ["other", v6("SOCK_STREAM", 7_104)],
      ],
      "taken by other",
    ],
    [
      "shared: the kernel deals out what comes",
      7_105,
      "tcp",
      [
        ["own", v4("SOCK_STREAM", 7_105)],
        ["base", v4("SOCK_STREAM", 7_105)],
      ],
      "taken by base",
    ],
    [
      "shared over UDP",
      7_105,
      "udp",
      [
        ["own", v4("SOCK_DGRAM", 7_105)],
        ["other", v4("SOCK_DGRAM", 7_105)],
      ],
      "taken by other",
    ],
    [
      "its own, though somebody listens where only the decky reaches",
      7_106,
      "tcp",
      [
        ["own", v4("SOCK_STREAM", 7_106)],
        ["other", v4("SOCK_STREAM", 7_106, "127.0.0.1")],
      ],
      "own",
    ],
    [
      "its own, whatever the process calls itself",
      7_107,
      "tcp",
      [["own", `$0 = "x) S 1 (\n0 0"; ${v4("SOCK_STREAM", 7_107)}`]],
      "own",
    ],
    [
      "one of two hundred sockets is its own",
      7_107,
      "udp",
      [
        ["other", `for (1..200) { my $s; ${v4("SOCK_DGRAM", 7_107)}; push @all, $s }`],
        ["own", v4("SOCK_DGRAM", 7_107)],
      ],
      "taken by other",
    ],
    ["nobody's, where only the decky itself reaches", 7_106, "udp", [["own", v4("SOCK_DGRAM", 7_106, "127.0.0.1")]], "silent"],
  ] as const)("%s", async (_, number, protocol, sockets, expected) => {
    expect(await look(number, protocol)).toBe("silent");
    for (const [name, program] of sockets) await exec(name, program);
    await eventually(async () => (await look(number, protocol)) === expected, 10_000);
  });
});
