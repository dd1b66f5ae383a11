import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationKind, OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { Severity, TopologyIssueSchema, TopologySchema, TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { expect, it } from "vitest";
import { formatPlan, nameOf } from "./plan.ts";
import { formatDot, formatIssues, formatMermaid, formatTopologies, formatTopology, formatTree } from "./topology.ts";
import { formatVerdict } from "./verdict.ts";

const now = 1_000_000_000;
const at = (seconds: number) => ({ seconds: BigInt(now / 1_000 - seconds), nanos: 0 });
const on = (lan: string, ip: string) => ({ lan, ip, mac: "" });

const init: MessageInitShape<typeof TopologySchema> = {
  name: "corp",
  host: "edge-03",
  state: TopologyState.DEGRADED,
  reason: "db-01: failed",
  stateChangedAt: at(60),
  version: 7,
  lans: [
    { name: "core", subnet: "10.0.1.0/24" },
    { name: "dmz", subnet: "10.0.0.0/24", isDmz: true },
    { name: "vault", subnet: "10.0.2.0/24" },
    { name: "lost", subnet: "10.0.3.0/24" },
  ],
  deckies: [
    {
      name: "gateway",
      services: [{ slug: "ssh" }],
      attachments: [on("dmz", "10.0.0.2"), on("core", "10.0.1.2")],
      forwards: true,
      egress: [{ cidr: "192.0.2.7/32", protocol: "tcp", port: 443 }],
      decky: { state: DeckyState.RUNNING, deniedPackets: 3 },
    },
    { name: "db-01", services: [{ slug: "redis" }], attachments: [on("core", "10.0.1.3")], decky: { state: DeckyState.FAILED } },
    { name: "safe", attachments: [on("vault", "10.0.2.2"), on("core", "10.0.1.4")] },
  ],
  events: [{ from: TopologyState.ACTIVE, to: TopologyState.DEGRADED, at: at(60), reason: "db-01: failed\u001b[2J" }],
};
const corp = create(TopologySchema, init);

it("lists topologies with their states, as words and as marks", () => {
  expect(formatTopologies([corp], now)).toBe(
    ["NAME  STATE       HOST     VERSION  SINCE  WHY", "corp  ! degraded  edge-03  v7       60s    db-01: failed"].join("\n"),
  );
});

it("shows one with its LANs, its deckies and how it came to be so", () => {
  expect(formatTopology(corp, now)).toBe(
    [
      "corp  topology · host edge-03 · ! degraded · version 7",
      "  db-01: failed",
      "",
      "LAN    SUBNET       DMZ  DECKIES",
      "core   10.0.1.0/24       3",
      "dmz    10.0.0.0/24  yes  1",
      "vault  10.0.2.0/24       1",
      "lost   10.0.3.0/24       0",
      "",
      "DECKY    STATE     LANS                          SERVICES  ROUTES    EGRESS",
      "gateway  running   dmz:10.0.0.2 core:10.0.1.2    ssh       forwards  192.0.2.7/32=tcp/443 · 3 packets denied",
      "db-01    × failed  core:10.0.1.3                 redis",
      "safe     designed  vault:10.0.2.2 core:10.0.1.4",
      "",
      "  active → degraded  60s ago  db-01: failed\\x1b[2J",
    ].join("\n"),
  );
});

it("draws each LAN inside the one that leads to it, whichever of the two is the home of the decky between them", () => {
  expect(formatTree(corp).split("\n").slice(2)).toEqual([
    "dmz  10.0.0.0/24  DMZ",
    "  gateway  running  10.0.0.2  ssh",
    "  core  10.0.1.0/24  through gateway (10.0.0.2, forwards)",
    "    db-01  × failed  10.0.1.3  redis",
    "    vault  10.0.2.0/24  through safe (10.0.1.4, does not forward)",
    "      safe  designed  10.0.2.2",
    "lost  10.0.3.0/24",
  ]);
});

it("draws LANs that lead to each other in a circle once", () => {
  const circle = create(TopologySchema, {
    lans: [{ name: "a", isDmz: true }, { name: "b" }, { name: "c" }],
    deckies: [
      { name: "ab", attachments: [on("a", "1"), on("b", "2")] },
      { name: "bc", attachments: [on("b", "3"), on("c", "4")] },
      { name: "ca", attachments: [on("c", "5"), on("a", "6")] },
    ],
  });
  const lans = formatTree(circle)
    .split("\n")
    .filter((line) => /^ *[abc]( {2}|$)/.test(line));
  expect(lans.map((line) => line.trim()[0])).toEqual(["a", "b", "c"]);
});

it("is a picture for Mermaid and for Graphviz, states as words and colours", () => {
  const mermaid = formatMermaid(corp);
  expect(mermaid).toContain('subgraph lan_dmz["dmz 10.0.0.0/24 DMZ"]');
  expect(mermaid).toContain('decky_db_01["db-01<br>× failed<br>redis"]:::fail');
  expect(mermaid).toContain("decky_gateway ==>|10.0.1.2| lan_core");
  expect(mermaid).toContain("decky_safe ---|10.0.1.4| lan_core");
  const dot = formatDot(corp);
  expect(dot).toContain('decky_db_01 [label="db-01\\n× failed\\nredis", color="#ff7b72"];');
  expect(dot).toContain('decky_gateway -- lan_core [label="10.0.1.2", style=bold];');
});

it("says what is wrong and what to do, or that nothing is", () => {
  const [severity, code, target] = [Severity.ERROR, "DMZ_MISSING", "topology"];
  const issue = create(TopologyIssueSchema, { severity, code, target, message: "no LAN is the DMZ", next: "make one" });
  expect(formatIssues("corp", [issue])).toBe("×  DMZ_MISSING  topology  no LAN is the DMZ: make one");
  expect(formatIssues("corp", [])).toContain("decnet topology deploy corp");
});

it("plans a change of a design with what it means for its deckies, and without any", () => {
  const edit = { kind: OperationKind.EDIT_TOPOLOGY, topology: "corp" };
  expect(formatPlan(create(OperationSchema, { ...edit, plan: { text: "add the LAN core\nPlan: nothing" } }))).toBe(
    "Plan for the topology corp: add the LAN core\n  = no decky changes: the design does",
  );
  const decky = { topologyId: "t0123456789ab", topology: "corp", name: "web-01" };
  const deckies = [{ decky, host: "local", action: "deploy", plan: { changes: [{ service: "ssh" }] } }];
  expect(formatPlan(create(OperationSchema, { ...edit, plan: { text: "add the decky web-01", deckies } }))).toBe(
    "Plan for the topology corp: add the decky web-01\n  + web-01   deploy on local: ssh",
  );
  expect(nameOf(create(OperationSchema, { decky }))).toBe("corp/web-01");
});

it("says how it ended", () => {
  const done = (kind: OperationKind) => formatVerdict(create(OperationSchema, { id: "op-1", kind, state: 3, topology: "corp" }));
  expect(done(OperationKind.DEPLOY_TOPOLOGY)).toBe("corp is deployed, 0 deckies.   op-1");
  expect(done(OperationKind.TEARDOWN_TOPOLOGY)).toBe("corp is torn down, every decky of it.   op-1");
  expect(done(OperationKind.CREATE_TOPOLOGY)).toBe("corp is designed, and not deployed.   op-1");
});
