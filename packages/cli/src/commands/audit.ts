import { ListAuditResponseSchema } from "@decnet/contract/gen/decnet/v1/access_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import type { ReadFlags } from "../read-flags.ts";
import { formatAudit } from "../text/access.ts";
import { UsageError } from "../usage-error.ts";

const mostEntries = 1_000;

/** `decnet audit` */
export function registerAudit(program: Command, cli: Cli): void {
  reading(
    program
      .command("audit")
      .description("Who called what, newest first, refusals included.")
      .option("--select <filter>", "for instance actor=maria,outcome!=accepted; keys: actor, action, target, outcome", "")
      .option("--limit <count>", "the most entries", "50"),
    {
      examples: ["audit", "audit --select 'actor=maria,action=*AddService'", "audit --select 'outcome!=accepted' --json"],
      rpc: "AccessService/ListAudit",
      body: '{"filter":"actor=maria"}',
    },
  ).action((flags: ReadFlags & { select: string; limit: string }) =>
    cli.withConnection(async ({ access }) => {
      const limit = Number(flags.limit);
      if (!Number.isInteger(limit) || limit < 1 || limit > mostEntries)
        throw new UsageError(`--limit is a number from 1 to ${mostEntries}`);
      const found = await access.listAudit({ filter: flags.select, pageSize: limit });
      show(flags, ListAuditResponseSchema, found, () => formatAudit(found.entries));
      return undefined;
    }),
  );
}
