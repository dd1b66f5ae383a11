import { ListOrphansResponseSchema } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { changing, show } from "../flags.ts";
import { ownHost } from "../own-host.ts";
import { formatOrphans } from "../text/orphans.ts";
import { UsageError } from "../usage-error.ts";

interface OrphansFlags extends ChangeFlags {
  readonly installation: string;
  readonly only?: string[];
  readonly remove?: boolean;
}

/** `decnet host orphans` */
export function registerOrphans(host: Command, cli: Cli): void {
  const add = (value: string, before: string[] = []) => [...before, value];
  changing(
    host
      .command("orphans [name]")
      .description(`What decnet left on a host (${ownHost} if none is named) that belongs to nothing there; --remove removes it.`)
      .option("--remove", "remove them, after the plan and a question")
      .option("--only <key>", "remove only this one: container/4f1c…, as --json lists it; repeatable", add)
      .option("--installation <id>", "everything of another installation, whose data is not on the host any more", ""),
    {
      examples: ["host orphans", "host orphans edge-03 --remove --plan", "host orphans edge-03 --remove -y"],
      rpc: "SwarmService/RemoveOrphans",
      body: '{"name":"edge-03"}',
    },
  ).action((given: string | undefined, flags: OrphansFlags) =>
    cli.withConnection(async (connection) => {
      const name = given ?? ownHost;
      const { installation, only: keys = [] } = flags;
      if (flags.remove !== true) {
        if (keys.length > 0) throw new UsageError("--only says what to remove: it needs --remove");
        const found = await connection.swarm.listOrphans({ name, installation });
        show(flags, ListOrphansResponseSchema, found, () => formatOrphans(name, installation, found));
        return undefined;
      }
      return runChange({
        flags,
        connection,
        asks: true,
        question: `Remove this from ${name}`,
        ...(installation === "" ? {} : { typed: { name: installation, accept: `installation=${installation}` } }),
        submit: (options) => connection.swarm.removeOrphans({ name, installation, keys, options }),
      });
    }),
  );
}
