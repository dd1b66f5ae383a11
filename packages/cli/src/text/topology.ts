import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  type Lan,
  Severity,
  type Topology,
  type TopologyDecky,
  type TopologyIssue,
  TopologyState,
} from "@decnet/contract/gen/decnet/v1/topology_pb";
import { formatState } from "./decky.ts";
import { formatDenied, formatEgress } from "./egress.ts";
import { age, columns, table, visible, word } from "./layout.ts";

const marks: Readonly<Partial<Record<TopologyState, string>>> = {
  [TopologyState.DEPLOYING]: "↻ ",
  [TopologyState.TEARING_DOWN]: "↻ ",
  [TopologyState.DEGRADED]: "! ",
  [TopologyState.FAILED]: "× ",
};

/** `active`, `! degraded`, `↻ deploying` */
export function formatTopologyState(state: TopologyState): string {
  return `${marks[state] ?? ""}${word(TopologyState, state)}`;
}

/** The list of topologies. */
export function formatTopologies(topologies: readonly Topology[], now: number): string {
  return table(
    ["NAME", "STATE", "HOST", "VERSION", "SINCE", "WHY"],
    topologies.map(({ name, state, host, version, stateChangedAt, reason }) => [
      name,
      formatTopologyState(state),
      host,
      `v${version}`,
      age(stateChangedAt, now),
      visible(reason),
    ]),
  );
}

/** One topology: its LANs, its deckies and the last steps of its life. */
export function formatTopology(topology: Topology, now: number): string {
  const { lans, deckies, events } = topology;
  const steps = events
    .slice(-5)
    .map(({ from, to, at, reason }) => [
      `  ${word(TopologyState, from)} → ${word(TopologyState, to)}`,
      `${age(at, now)} ago`,
      visible(reason),
    ]);
  return [
    ...headLines(topology),
    "",
    lans.length === 0
      ? "  no LAN yet"
      : table(
          ["LAN", "SUBNET", "DMZ", "DECKIES"],
          lans.map((lan) => [lan.name, lan.subnet, lan.isDmz ? "yes" : "", String(onLan(deckies, lan).length)]),
        ),
    "",
    deckies.length === 0
      ? "  no decky yet"
      : table(
          ["DECKY", "STATE", "LANS", "SERVICES", "ROUTES", "EGRESS"],
          deckies.map((decky) => [
            decky.name,
            stateOf(decky),
            decky.attachments.map(({ lan, ip }) => `${lan}:${ip}`).join(" "),
            slugsOf(decky),
            decky.forwards ? "forwards" : "",
            [formatEgress(decky.egress), formatDenied(decky.decky?.deniedPackets ?? 0)].filter(Boolean).join(" · "),
          ]),
        ),
    ...(steps.length === 0 ? [] : ["", columns(steps)]),
  ].join("\n");
}

function headLines({ name, state, host, version, reason }: Topology): string[] {
  const head = `${name}  topology · host ${host} · ${formatTopologyState(state)} · version ${version}`;
  return [head, ...(reason === "" ? [] : [`  ${visible(reason)}`])];
}

function onLan(deckies: readonly TopologyDecky[], lan: Lan): TopologyDecky[] {
  return deckies.filter(({ attachments }) => attachments.some((each) => each.lan === lan.name));
}

function stateOf({ decky }: TopologyDecky): string {
  return decky === undefined ? "designed" : formatState(decky.state);
}

function slugsOf({ services }: TopologyDecky): string {
  return services.map(({ slug }) => slug).join(" ");
}

function addressOn({ attachments }: TopologyDecky, lan: Lan): string {
  return attachments.find((each) => each.lan === lan.name)?.ip ?? "";
}

/** Each LAN inside the one from which it is reached, below the decky that leads there. */
export function formatTree(topology: Topology): string {
  const seen = new Set<string>();
  const roots = [...topology.lans].sort((one, other) => Number(other.isDmz) - Number(one.isDmz));
  const trees = roots.flatMap((lan) => (seen.has(lan.name) ? [] : lanLines(lan, topology, seen, "", "")));
  return [...headLines(topology), ...trees].join("\n");
}

function lanLines(lan: Lan, topology: Topology, seen: Set<string>, indent: string, by: string): string[] {
  seen.add(lan.name);
  const { lans, deckies } = topology;
  const here = onLan(deckies, lan);
  const homes = here.filter(({ attachments }) => attachments[0]?.lan === lan.name);
  const inner = here.flatMap((decky) =>
    decky.attachments.flatMap(({ lan: name }) => {
      const next = lans.find((each) => each.name === name);
      if (next === undefined || seen.has(name)) return [];
      const how = decky.forwards ? "forwards" : "does not forward";
      return lanLines(next, topology, seen, `${indent}  `, `through ${decky.name} (${addressOn(decky, lan)}, ${how})`);
    }),
  );
  const rows = homes.map((decky) => [`${indent}  ${decky.name}`, stateOf(decky), addressOn(decky, lan), slugsOf(decky)]);
  const title = [`${indent}${lan.name}`, lan.subnet, lan.isDmz ? "DMZ" : by].filter(Boolean).join("  ");
  return [title, ...(rows.length === 0 ? [] : columns(rows).split("\n")), ...inner];
}

type Tone = "run" | "busy" | "warn" | "fail" | "unknown";

const tones: Readonly<Partial<Record<DeckyState, Tone>>> = {
  [DeckyState.RUNNING]: "run",
  [DeckyState.CHANGING]: "busy",
  [DeckyState.PENDING]: "busy",
  [DeckyState.DEGRADED]: "warn",
  [DeckyState.DETACHED]: "warn",
  [DeckyState.FAILED]: "fail",
};
const colours: Readonly<Record<Tone, string>> = {
  run: "#4cc38a",
  busy: "#6cb6ff",
  warn: "#e0b341",
  fail: "#ff7b72",
  unknown: "#a9b1ba",
};

function toneOf({ decky }: TopologyDecky): Tone {
  return (decky === undefined ? undefined : tones[decky.state]) ?? "unknown";
}

/** Identifiers may not hold hyphens in both languages. */
function idOf(kind: "lan" | "decky", name: string): string {
  return `${kind}_${name.replaceAll("-", "_")}`;
}

/** For Mermaid: a box for each LAN, deckies at home in it, lines to the other LANs that they are on. */
export function formatMermaid({ lans, deckies }: Topology): string {
  const links = deckies.flatMap((decky) =>
    decky.attachments
      .slice(1)
      .map(({ lan, ip }) => `  ${idOf("decky", decky.name)} ${decky.forwards ? "==" : "--"}|${ip}| ${idOf("lan", lan)}`),
  );
  return [
    "flowchart TB",
    ...lans.flatMap((lan) => [
      `  subgraph ${idOf("lan", lan.name)}["${lan.name} ${lan.subnet}${lan.isDmz ? " DMZ" : ""}"]`,
      ...deckies
        .filter(({ attachments }) => attachments[0]?.lan === lan.name)
        .map((decky) => `    ${idOf("decky", decky.name)}["${labelOf(decky, "<br>")}"]:::${toneOf(decky)}`),
      "  end",
    ]),
    ...links.map((line) => line.replace("==|", "==>|").replace("--|", "---|")),
    ...Object.entries(colours).map(([tone, colour]) => `  classDef ${tone} stroke:${colour},stroke-width:2px`),
  ].join("\n");
}

/** For Graphviz: the same as nested clusters. */
export function formatDot({ name, lans, deckies }: Topology): string {
  const nodes = (lan: Lan) =>
    deckies
      .filter(({ attachments }) => attachments[0]?.lan === lan.name)
      .map((decky) => `    ${idOf("decky", decky.name)} [label="${labelOf(decky, "\\n")}", color="${colours[toneOf(decky)]}"];`);
  const links = deckies.flatMap((decky) =>
    decky.attachments
      .slice(1)
      .map(
        ({ lan, ip }) =>
          `  ${idOf("decky", decky.name)} -- ${idOf("lan", lan)} [label="${ip}", style=${decky.forwards ? "bold" : "dashed"}];`,
      ),
  );
  return [
    `graph "${name}" {`,
    "  node [shape=box];",
    ...lans.flatMap((lan) => [
      `  subgraph cluster_${idOf("lan", lan.name)} {`,
      `    label="${lan.name} ${lan.subnet}${lan.isDmz ? " DMZ" : ""}";`,
      `    ${idOf("lan", lan.name)} [shape=point];`,
      ...nodes(lan),
      "  }",
    ]),
    ...links,
    "}",
  ].join("\n");
}

function labelOf(decky: TopologyDecky, newLine: string): string {
  return [decky.name, stateOf(decky), slugsOf(decky)].filter(Boolean).join(newLine);
}

/** What is wrong with a design, and what to do about it. */
export function formatIssues(name: string, issues: readonly TopologyIssue[]): string {
  if (issues.length === 0) return `${name} can be deployed: decnet topology deploy ${name}`;
  return columns(
    issues.map(({ severity, code, target, message, next }) => [
      severity === Severity.ERROR ? "×" : "!",
      code,
      target,
      `${visible(message)}: ${visible(next)}`,
    ]),
  );
}
