import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import type { Command } from "commander";
import type { Change } from "../change/change.ts";
import { type OptionsInit, parseVersion } from "../change/options.ts";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { changing } from "../flags.ts";

/** `decnet topology deploy|plan|resync|teardown|delete` */
export function registerTopologyChanges(topology: Command, cli: Cli): void {
  changing(topology.command("plan <name>").description("What deploy would do, or resync once it is deployed."), {
    examples: ["topology plan corp", "topology plan corp --exit-code", "topology plan corp --json"],
    rpc: "TopologyService/DeployTopology",
    body: '{"topology":"corp","options":{"dryRun":true}}',
  }).action((name: string, flags: ChangeFlags) =>
    cli.withConnection(async (connection) => {
      const { topology: now } = await connection.topologies.getTopology({ topology: name });
      const isLive = now?.state === TopologyState.ACTIVE || now?.state === TopologyState.DEGRADED;
      const planning = { ...flags, plan: true };
      return isLive ? resync(connection, name, planning) : deploy(connection, name, planning);
    }),
  );
  changing(topology.command("deploy <name>").description("Deploy every decky of the design."), {
    examples: ["topology deploy corp", "topology deploy corp --plan", "topology deploy corp -y --wait 10m"],
    rpc: "TopologyService/DeployTopology",
    body: '{"topology":"corp"}',
  }).action((name: string, flags: ChangeFlags) => cli.withConnection((connection) => deploy(connection, name, flags)));
  changing(topology.command("resync <name>").description("Make a live topology what its design says again."), {
    examples: ["topology resync corp", "topology resync corp --plan", "topology resync corp -y"],
    rpc: "TopologyService/ResyncTopology",
    body: '{"topology":"corp"}',
  }).action((name: string, flags: ChangeFlags) => cli.withConnection((connection) => resync(connection, name, flags)));
  changing(topology.command("teardown <name>").description("Remove every decky and network of it; its design stays."), {
    examples: ["topology teardown corp", "topology teardown corp --plan", "topology teardown corp --accept teardown=corp"],
    rpc: "TopologyService/TeardownTopology",
    body: '{"topology":"corp"}',
  }).action((name: string, flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runVersioned({
        flags,
        connection,
        asks: true,
        always: true,
        typed: { name, accept: `teardown=${name}` },
        submit: (request) => connection.topologies.teardownTopology({ topology: name, ...request }),
      }),
    ),
  );
  changing(topology.command("delete <name>").description("Forget a topology that is not deployed, with its design."), {
    examples: ["topology delete corp", "topology delete corp --plan", "topology delete corp --accept teardown=corp"],
    rpc: "TopologyService/DeleteTopology",
    body: '{"topology":"corp"}',
  }).action((name: string, flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runVersioned({
        flags,
        connection,
        asks: true,
        always: true,
        typed: { name, accept: `teardown=${name}` },
        submit: (request) => connection.topologies.deleteTopology({ topology: name, ...request }),
      }),
    ),
  );
}

function deploy(connection: Connection, name: string, flags: ChangeFlags): Promise<number> {
  return runVersioned({
    flags,
    connection,
    asks: true,
    always: true,
    question: `Deploy ${name}`,
    submit: (request) => connection.topologies.deployTopology({ topology: name, ...request }),
  });
}

function resync(connection: Connection, name: string, flags: ChangeFlags): Promise<number> {
  return runVersioned({
    flags,
    connection,
    asks: true,
    question: `Make ${name} what its design says`,
    submit: (request) => connection.topologies.resyncTopology({ topology: name, ...request }),
  });
}

/** Of a topology `--expect` is the version of its design, not the revision of a decky. */
export function runVersioned(
  change: Omit<Change, "submit"> & {
    readonly submit: (request: { options: OptionsInit; expectedVersion?: number }) => ReturnType<Change["submit"]>;
  },
): Promise<number> {
  const { expect, ...flags } = change.flags;
  const version = expect === undefined ? {} : { expectedVersion: parseVersion(expect) };
  return runChange({ ...change, flags, submit: (options) => change.submit({ options, ...version }) });
}
