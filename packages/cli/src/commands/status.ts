import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ListDeckiesResponseSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import type { ReadFlags } from "../read-flags.ts";
import { formatStatus } from "../text/status.ts";

const mostRows = 10;
const recentMs = 3_600_000;

/** `decnet status` */
export function registerStatus(program: Command, cli: Cli): void {
  reading(program.command("status").description("What needs attention, on one screen."), {
    examples: ["status", "status --json", "status --context prod"],
    rpc: "FleetService/ListDeckies",
    body: '{"filter":"state!=running"}',
  }).action((flags: ReadFlags) =>
    cli.withConnection(async ({ fleet, access, operations, context }) => {
      const [who, all, troubled, failed] = await Promise.all([
        access.whoAmI({}),
        fleet.listDeckies({ pageSize: 1 }),
        fleet.listDeckies({ filter: "state!=running", pageSize: mostRows }),
        operations.listOperations({ filter: "state=failed,parent=", pageSize: 5 }),
      ]);
      const now = Date.now();
      show(flags, ListDeckiesResponseSchema, { ...troubled, counts: all.counts }, () =>
        formatStatus({
          context: context.name,
          version: who.serverVersion,
          counts: all.counts,
          troubled: troubled.deckies,
          now,
          failed: failed.operations.filter(({ createdAt }) => createdAt !== undefined && timestampMs(createdAt) > now - recentMs),
        }),
      );
      return undefined;
    }),
  );
}
