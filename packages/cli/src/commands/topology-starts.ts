import { fromConnectError } from "@decnet/common/rpc/errors";
import { type TopologyFile, TopologyFileSchema } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { type Command, InvalidArgumentError } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { openDocument } from "../documents/document.ts";
import { placesOf } from "../documents/locate.ts";
import { settingsRules } from "../documents/parse-settings.ts";
import { toMessage } from "../documents/to-message.ts";
import { withoutAddresses } from "../documents/topology-file.ts";
import { changing, type SettingsFlags, takingSettings } from "../flags.ts";
import { say } from "../output.ts";
import { UsageError } from "../usage-error.ts";

/** `decnet topology create|generate|import`: nothing of them runs before it is deployed. */
export function registerTopologyStarts(topology: Command, cli: Cli): void {
  registerCreate(topology, cli);
  registerGenerate(topology, cli);
  registerImport(topology, cli);
}

interface CreateFlags extends ChangeFlags {
  readonly host?: string;
  readonly publishOn?: string;
  readonly empty?: boolean;
}

function registerCreate(topology: Command, cli: Cli): void {
  changing(
    topology
      .command("create <name>")
      .description("A topology with a DMZ and a gateway on it, to be designed further.")
      .option("--host <host>", "where its deckies will live (local)")
      .option(
        "--publish-on <address>",
        "an address of the host that is for decoys: gateways in the DMZ publish their ports there",
      )
      .option("--empty", "with no LAN and no decky"),
    {
      examples: ["topology create corp", "topology create corp --host edge-03", "topology create corp --empty"],
      rpc: "TopologyService/CreateTopology",
      body: '{"name":"corp","withDmz":true}',
    },
  ).action((name: string, flags: CreateFlags) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: false,
        always: true,
        submit: (options) =>
          connection.topologies.createTopology({
            name,
            host: flags.host ?? "",
            publishOn: flags.publishOn ?? "",
            withDmz: flags.empty !== true,
            options,
          }),
      }),
    ),
  );
}

interface GenerateFlags extends ChangeFlags {
  readonly host?: string;
  readonly publishOn?: string;
  readonly seed?: number;
  readonly lans?: number;
  readonly deckies?: number;
  readonly depth?: number;
  readonly branching?: number;
  readonly services?: string;
  readonly subnetBase?: string;
  readonly forwardProbability?: number;
  readonly crossEdgeProbability?: number;
}

function registerGenerate(topology: Command, cli: Cli): void {
  changing(
    topology
      .command("generate <name>")
      .description("A topology that is drawn from a seed: the same settings make the same design.")
      .option("--host <host>", "where its deckies will live (local)")
      .option(
        "--publish-on <address>",
        "an address of the host that is for decoys: gateways in the DMZ publish their ports there",
      )
      .option("--seed <number>", "another seed, another design (0)", parseWhole)
      .option("--lans <count>", "exactly so many LANs, the DMZ among them", parseWhole)
      .option("--deckies <count>", "exactly so many deckies", parseWhole)
      .option("--depth <levels>", "levels of LANs behind the DMZ (2)", parseWhole)
      .option("--branching <count>", "most LANs that one leads to (2)", parseWhole)
      .option("--services <slugs>", "services of every decky, such as ssh,http; otherwise drawn from the catalog")
      .option("--subnet-base <cidr>", "what the /24 networks of the LANs are taken from (172.16.0.0/12)")
      .option("--forward-probability <share>", "how likely a decky between two LANs routes between them (1)", parseShare)
      .option("--cross-edge-probability <share>", "how likely a LAN gets a second way in (0)", parseShare),
    {
      examples: [
        "topology generate corp --seed 7 --lans 4 --deckies 12",
        "topology generate corp --seed 7 --services ssh,http --plan",
        "topology generate corp --host edge-03 --depth 3 --branching 2",
      ],
      rpc: "TopologyService/GenerateTopology",
      body: '{"name":"corp","settings":{"seed":7,"lans":4,"deckies":12}}',
    },
  ).action((name: string, flags: GenerateFlags) =>
    cli.withConnection((connection) => {
      const { seed = 0, lans = 0, deckies = 0, depth = 0, branching = 0, subnetBase = "", crossEdgeProbability = 0 } = flags;
      const { forwardProbability } = flags;
      const settings = {
        ...{ seed, lans, deckies, depth, branching, subnetBase, crossEdgeProbability },
        ...(forwardProbability === undefined ? {} : { forwardProbability }),
        services: (flags.services ?? "").split(",").filter((slug) => slug !== ""),
      };
      return runChange({
        flags,
        connection,
        asks: false,
        always: true,
        submit: (options) =>
          connection.topologies.generateTopology({
            name,
            host: flags.host ?? "",
            publishOn: flags.publishOn ?? "",
            settings,
            options,
          }),
      });
    }),
  );
}

interface ImportFlags extends ChangeFlags, SettingsFlags {
  readonly file: string;
  readonly name?: string;
  readonly host?: string;
  readonly publishOn?: string;
  readonly renumber?: boolean;
}

function registerImport(topology: Command, cli: Cli): void {
  changing(
    takingSettings(topology.command("import"))
      .description("A topology from a file, whole or not at all.")
      .requiredOption("-f, --file <file>", "topology file, YAML; - for standard input")
      .option("--name <name>", "another name than the file's")
      .option("--host <host>", "another host than the file's")
      .option("--publish-on <address>", "another address of the host for its gateways than the file's")
      .option("--renumber", "with networks and addresses of its own, beside the topology that the file came from"),
    {
      examples: [
        "topology import -f corp.yaml",
        "topology import -f corp.yaml --plan",
        "topology import -f corp.yaml --name other --renumber",
      ],
      rpc: "TopologyService/CreateTopology",
      body: '{"name":"corp","design":{"lans":[{"name":"dmz","isDmz":true}],"deckies":[]}}',
    },
  ).action((flags: ImportFlags) =>
    cli.withConnection(async (connection) => {
      const document = openDocument(flags.file);
      const read = toMessage(document, TopologyFileSchema, await settingsRules(connection, flags));
      const { lans, deckies, ...head }: TopologyFile = flags.renumber === true ? withoutAddresses(read) : read;
      const name = flags.name ?? head.name;
      if (name === "") throw new UsageError(`${document.file} names no topology; give it one: --name NAME`);
      return runChange({
        flags,
        connection,
        asks: false,
        always: true,
        submit: (options) =>
          connection.topologies
            .createTopology({
              ...{ name, host: flags.host ?? head.host, publishOn: flags.publishOn ?? head.publishOn },
              design: { lans, deckies },
              options,
            })
            .catch((error: unknown) => {
              for (const line of placesOf(document, fromConnectError(error).violations, "design")) say(line);
              throw error;
            }),
      });
    }),
  );
}

function parseWhole(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffff_ffff) throw new InvalidArgumentError("is a whole number");
  return Number(text);
}

function parseShare(text: string): number {
  if (!/^(0(\.\d+)?|1(\.0+)?)$/.test(text)) throw new InvalidArgumentError("is a number from 0 to 1");
  return Number(text);
}
