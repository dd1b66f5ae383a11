import {
  GetTopologyResponseSchema,
  ListTopologiesResponseSchema,
  type Topology,
  ValidateTopologyResponseSchema,
} from "@decnet/contract/gen/decnet/v1/topology_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { formatFile, secretsOf, toFile } from "../documents/topology-file.ts";
import { reading, show } from "../flags.ts";
import { printRaw, remark } from "../output.ts";
import { pageSize, readPages } from "../pages.ts";
import type { ReadFlags } from "../read-flags.ts";
import { formatDot, formatIssues, formatMermaid, formatTopologies, formatTopology, formatTree } from "../text/topology.ts";
import { UsageError } from "../usage-error.ts";
import { registerTopologyChanges } from "./topology-changes.ts";
import { registerTopologyMembers } from "./topology-members.ts";
import { registerTopologyStarts } from "./topology-starts.ts";

/** `decnet topology …` */
export function registerTopology(program: Command, cli: Cli): void {
  const topology = program.command("topology").description("Nested decoy networks.");
  registerTopologyStarts(topology, cli);
  registerList(topology, cli);
  registerShow(topology, cli);
  registerTopologyChanges(topology, cli);
  registerExport(topology, cli);
  registerTopologyMembers(topology, cli);
}

function registerList(topology: Command, cli: Cli): void {
  reading(
    topology
      .command("list")
      .description("All topologies, each with its state.")
      .option("--select <filter>", "for instance state=active,host=edge-03,name=corp-*", ""),
    {
      examples: ["topology list", "topology list --select state!=active", "topology list -o name"],
      rpc: "TopologyService/ListTopologies",
      body: '{"filter":"state!=active"}',
    },
  ).action((flags: ReadFlags & { select: string }) =>
    cli.withConnection(async ({ topologies }) => {
      const pages = await readPages((pageToken) => topologies.listTopologies({ filter: flags.select, pageSize, pageToken }));
      const all = pages.flatMap((page) => page.topologies);
      show(flags, ListTopologiesResponseSchema, { ...pages[0], topologies: all, nextPageToken: "" }, () =>
        formatTopologies(all, Date.now()),
      );
      return undefined;
    }),
  );
}

const formats: Readonly<Record<string, (topology: Topology) => string>> = {
  table: (topology) => formatTopology(topology, Date.now()),
  tree: formatTree,
  mermaid: formatMermaid,
  dot: formatDot,
};

function registerShow(topology: Command, cli: Cli): void {
  reading(
    topology
      .command("show <name>")
      .description("One topology in full.")
      .option("--format <format>", "table, tree (LANs inside each other), mermaid, dot or json", "table"),
    {
      examples: ["topology show corp", "topology show corp --format tree", "topology show corp --format mermaid > corp.mmd"],
      rpc: "TopologyService/GetTopology",
      body: '{"topology":"corp"}',
    },
  ).action((name: string, { format, ...flags }: ReadFlags & { format: string }) =>
    cli.withConnection(async (connection) => {
      const text = formats[format];
      if (text === undefined && format !== "json")
        throw new UsageError(`--format is one of ${[...Object.keys(formats), "json"].join(", ")}, not ${JSON.stringify(format)}`);
      const found = await connection.topologies.getTopology({ topology: name });
      const { topology: one } = found;
      show(text === undefined ? { ...flags, json: true } : flags, GetTopologyResponseSchema, found, () =>
        one === undefined || text === undefined ? "" : text(one),
      );
      return undefined;
    }),
  );
  reading(
    topology.command("validate <name>").description("What is wrong with the design; exit code 4 when it cannot be deployed."),
    {
      examples: [
        "topology validate corp",
        "topology validate corp --json",
        "topology validate corp && decnet topology deploy corp",
      ],
      rpc: "TopologyService/ValidateTopology",
      body: '{"topology":"corp"}',
    },
  ).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async ({ topologies }) => {
      const found = await topologies.validateTopology({ topology: name });
      show(flags, ValidateTopologyResponseSchema, found, () => formatIssues(name, found.issues));
      return found.valid ? 0 : 4;
    }),
  );
}

function registerExport(topology: Command, cli: Cli): void {
  reading(
    topology.command("export <name>").description("The design as a file without secrets; imported it makes the same topology."),
    {
      examples: [
        "topology export corp > corp.yaml",
        "topology export corp --json",
        "topology export corp > c.yaml; decnet topology import -f c.yaml --name other --renumber",
      ],
      rpc: "TopologyService/GetTopology",
      body: '{"topology":"corp"}',
    },
  ).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const one = await readTopology(connection, name);
      printRaw(formatFile(toFile(one), flags));
      const secrets = secretsOf(one);
      if (secrets.length > 0) remark(`secrets that are left out: ${secrets.join(", ")}`);
      return undefined;
    }),
  );
}

async function readTopology({ topologies }: Connection, name: string): Promise<Topology> {
  const { topology } = await topologies.getTopology({ topology: name });
  if (topology === undefined) throw new Error("the master returned no topology");
  return topology;
}
