import type { JsonObject } from "@bufbuild/protobuf";
import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Command } from "commander";
import { collectEgress } from "../change/egress.ts";
import type { OptionsInit } from "../change/options.ts";
import { rotateOf } from "../change/rotate-option.ts";
import { toPlace, toServices } from "../change/typed-members.ts";
import type { ChangeFlags } from "../change.ts";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { changing } from "../flags.ts";
import type { Help } from "../help.ts";
import type { TypedEgress } from "../text/egress.ts";
import { UsageError } from "../usage-error.ts";
import { runVersioned } from "./topology-changes.ts";

/** `decnet topology lan|decky …`: the design changes, and what is deployed of it with it. */
export function registerTopologyMembers(topology: Command, cli: Cli): void {
  registerLans(topology.command("lan").description("LANs of a topology, as corp/dmz."), cli);
  registerDeckies(topology.command("decky").description("Deckies of a topology, as corp/web-01."), cli);
}

type Call = (
  connection: Connection,
  request: { topology: string; name: string; options: OptionsInit; expectedVersion?: number },
) => Promise<{ operation?: Operation | undefined }>;

interface Edit {
  /** `Remove {}` */
  readonly question: string;
  /** Adds disturb nothing and ask nothing. */
  readonly asks: boolean;
  readonly call: Call;
}

function run(cli: Cli, member: string, flags: ChangeFlags, { question, asks, call }: Edit): Promise<void> {
  return cli.withConnection((connection) => {
    const place = parseMember(member);
    return runVersioned({
      flags,
      connection,
      asks,
      always: true,
      question: question.replace("{}", member),
      submit: (request) => call(connection, { ...place, ...request }),
    });
  });
}

/** `corp/dmz` */
export function parseMember(text: string): { topology: string; name: string } {
  const [topology = "", name = "", ...rest] = text.split("/");
  if (topology === "" || name === "" || rest.length > 0)
    throw new UsageError(`what belongs to a topology is named like corp/web-01, not ${JSON.stringify(text)}`);
  return { topology, name };
}

function helpOf(rpc: string, body: JsonObject, ...examples: string[]): Help {
  return { examples, rpc: `TopologyService/${rpc}`, body: JSON.stringify(body) };
}

interface LanFlags extends ChangeFlags {
  readonly subnet?: string;
  readonly rename?: string;
  readonly dmz?: boolean;
}

function registerLans(lan: Command, cli: Cli): void {
  changing(
    lan
      .command("add <lan>")
      .description("Add a LAN.")
      .option("--subnet <cidr>", "its network (the next free /24)")
      .option("--dmz", "the one LAN that is not cut off from outside"),
    helpOf(
      "AddLan",
      { topology: "corp", name: "core" },
      ...[
        "topology lan add corp/dmz --dmz",
        "topology lan add corp/core --subnet 10.1.0.0/24",
        "topology lan add corp/core --plan",
      ],
    ),
  ).action((member: string, flags: LanFlags) =>
    run(cli, member, flags, {
      question: "Add {}",
      asks: false,
      call: ({ topologies }, request) => topologies.addLan({ ...request, subnet: flags.subnet ?? "", isDmz: flags.dmz === true }),
    }),
  );
  changing(
    lan
      .command("update <lan>")
      .description("Change a LAN of a topology that is not deployed; whoever is there gets a new address in a new network.")
      .option("--rename <name>", "another name")
      .option("--subnet <cidr>", "another network")
      .option("--dmz", "let it be the DMZ")
      .option("--no-dmz", "let it not be the DMZ"),
    helpOf(
      "UpdateLan",
      { topology: "corp", name: "core", newName: "office" },
      ...[
        "topology lan update corp/core --rename office",
        "topology lan update corp/core --subnet 10.1.0.0/24",
        "topology lan update corp/core --no-dmz",
      ],
    ),
  ).action((member: string, { rename, subnet, dmz, ...flags }: LanFlags, command: Command) => {
    const isGiven = command.getOptionValueSource("dmz") === "cli";
    const change = {
      ...(rename === undefined ? {} : { newName: rename }),
      ...(subnet === undefined ? {} : { subnet }),
      ...(isGiven && dmz !== undefined ? { isDmz: dmz } : {}),
    };
    return run(cli, member, flags, {
      question: "Change {}",
      asks: true,
      call({ topologies }, request) {
        if (Object.keys(change).length === 0) throw new UsageError("say what changes: --rename, --subnet, --dmz or --no-dmz");
        return topologies.updateLan({ ...request, ...change });
      },
    });
  });
  changing(
    lan.command("remove <lan>").description("Remove a LAN that is nobody's home; whoever is there is detached."),
    helpOf(
      "RemoveLan",
      { topology: "corp", name: "core" },
      ...["topology lan remove corp/core", "topology lan remove corp/core --plan", "topology lan remove corp/core -y"],
    ),
  ).action((member: string, flags: ChangeFlags) =>
    run(cli, member, flags, {
      question: "Remove {}",
      asks: true,
      call: ({ topologies }, request) => topologies.removeLan(request),
    }),
  );
}

interface DeckyFlags extends ChangeFlags {
  readonly lan?: string[];
  readonly archetype?: string;
  readonly services?: string;
  readonly forwards?: boolean;
  readonly rotate?: string;
  readonly rotateAmong?: string;
  /** `false`: it was said that there is none. */
  readonly egress?: TypedEgress[] | false;
}

const collect = (value: string, before: string[] = []) => [...before, value];

function registerDeckies(decky: Command, cli: Cli): void {
  changing(
    decky
      .command("add <decky>")
      .description("Add a decky.")
      .option(
        "--lan <lan>",
        "a LAN that it is on, the first is its home; LAN=ADDRESS for an address of its own; repeatable",
        collect,
      )
      .option("--archetype <slug>", "a ready-made set of services: decnet catalog archetypes")
      .option("--services <slugs>", "its services, such as ssh,http")
      .option("--forwards", "it routes between its LANs; in the DMZ it is a gateway")
      .option("--egress <rule>", "what it may call, such as 198.51.100.0/24=tcp/443; repeatable", collectEgress)
      .option("--rotate <time>", "its services change by themselves, once it is deployed, every so often: 6h")
      .option("--rotate-among <slugs>", "to these; otherwise to those of its archetype"),
    helpOf(
      "AddDecky",
      { topology: "corp", name: "web-01", services: [{ slug: "http" }], attachments: [{ lan: "core" }] },
      "topology decky add corp/web-01 --lan core --services ssh,http",
      "topology decky add corp/gateway --lan dmz --lan core --services ssh --forwards",
      "topology decky add corp/db-01 --lan core=10.1.0.9 --services redis --plan",
    ),
  ).action((member: string, flags: DeckyFlags) =>
    run(cli, member, flags, {
      question: "Add {}",
      asks: false,
      call: ({ topologies }, request) =>
        topologies.addDecky({
          ...request,
          archetype: flags.archetype ?? "",
          services: toServices(flags.services ?? ""),
          attachments: (flags.lan ?? []).map(toPlace),
          forwards: flags.forwards === true,
          ...rotateOf(flags),
          egress: flags.egress || [],
        }),
    }),
  );
  changing(
    decky
      .command("update <decky>")
      .description("Change a decky; its services one by one once it is deployed: decnet service.")
      .option("--archetype <slug>", "another archetype")
      .option("--services <slugs>", "other services, while it is not deployed")
      .option("--forwards", "let it route between its LANs")
      .option("--no-forwards", "let it not route between its LANs")
      .option("--egress <rule>", "what it may call instead of what it might before; repeatable", collectEgress)
      .option("--no-egress", "let it call nobody")
      .option("--rotate <time>", "let its services change by themselves every so often: 6h; 0 for not any more")
      .option("--rotate-among <slugs>", "to these; otherwise to those of its archetype"),
    helpOf(
      "UpdateDecky",
      { topology: "corp", name: "web-01", forwards: true },
      "topology decky update corp/web-01 --forwards",
      "topology decky update corp/web-01 --services ssh,ftp",
      "topology decky update corp/web-01 --egress 198.51.100.0/24=tcp/443 --plan",
    ),
  ).action(
    (member: string, { archetype, services, forwards, egress, rotate, rotateAmong, ...flags }: DeckyFlags, command: Command) => {
      const isGiven = command.getOptionValueSource("forwards") === "cli";
      const change = {
        ...(archetype === undefined ? {} : { archetype }),
        ...(services === undefined ? {} : { services: { services: toServices(services) } }),
        ...(isGiven && forwards !== undefined ? { forwards } : {}),
        ...rotateOf({ rotate, rotateAmong }),
        ...(command.getOptionValueSource("egress") === "cli" ? { egress: { rules: egress || [] } } : {}),
      };
      return run(cli, member, flags, {
        question: "Change {}",
        asks: true,
        call({ topologies }, request) {
          if (Object.keys(change).length === 0)
            throw new UsageError("say what changes: --archetype, --services, --[no-]forwards, --[no-]egress or --rotate");
          return topologies.updateDecky({ ...request, ...change });
        },
      });
    },
  );
  changing(
    decky.command("remove <decky>").description("Remove a decky and everything that belongs to it."),
    helpOf(
      "RemoveDecky",
      { topology: "corp", name: "web-01" },
      ...[
        "topology decky remove corp/web-01",
        "topology decky remove corp/web-01 --plan",
        "topology decky remove corp/web-01 -y",
      ],
    ),
  ).action((member: string, flags: ChangeFlags) =>
    run(cli, member, flags, {
      question: "Remove {}",
      asks: true,
      call: ({ topologies }, request) => topologies.removeDecky(request),
    }),
  );
  registerPlaces(decky, cli);
}

function registerPlaces(decky: Command, cli: Cli): void {
  changing(
    decky.command("attach <decky> <lan>").description("Put a decky on one more LAN; LAN=ADDRESS for an address of its own."),
    helpOf(
      "AttachDecky",
      { topology: "corp", name: "web-01", attachment: { lan: "core" } },
      ...[
        "topology decky attach corp/web-01 core",
        "topology decky attach corp/web-01 core=10.1.0.9",
        "topology decky attach corp/web-01 core -y",
      ],
    ),
  ).action((member: string, lan: string, flags: ChangeFlags) =>
    run(cli, member, flags, {
      question: `Attach {} to ${lan}`,
      asks: true,
      call: ({ topologies }, request) => topologies.attachDecky({ ...request, attachment: toPlace(lan) }),
    }),
  );
  changing(
    decky.command("detach <decky> <lan>").description("Take a decky off a LAN that is not its home."),
    helpOf(
      "DetachDecky",
      { topology: "corp", name: "web-01", lan: "core" },
      ...[
        "topology decky detach corp/web-01 core",
        "topology decky detach corp/web-01 core --plan",
        "topology decky detach corp/web-01 core -y",
      ],
    ),
  ).action((member: string, lan: string, flags: ChangeFlags) =>
    run(cli, member, flags, {
      question: `Detach {} from ${lan}`,
      asks: true,
      call: ({ topologies }, request) => topologies.detachDecky({ ...request, lan }),
    }),
  );
}
