import { DeckyState } from "@decnet/common/gen/decnet/v1/decky_pb";
import { ListDeckiesResponseSchema } from "@decnet/common/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { type ReadFlags, reading, show } from "../flags.ts";
import { visible, word } from "../output.ts";

/** `decnet status` */
export function registerStatus(program: Command, cli: Cli): void {
  reading(program.command("status").description("What needs you, on one screen.")).action((flags: ReadFlags) =>
    cli.withConnection(async ({ fleet, access, address }) => {
      const [who, all] = await Promise.all([access.whoAmI({}), fleet.listDeckies({ pageSize: 1_000 })]);
      const troubled = all.deckies.filter((decky) => decky.state !== DeckyState.RUNNING);
      show(flags, ListDeckiesResponseSchema, all, () =>
        [
          `${address} · master ${who.serverVersion} · ${Object.values(all.counts).reduce((sum, count) => sum + count, 0)} deckies`,
          `  ${
            Object.entries(all.counts)
              .map(([state, count]) => `${state} ${count}`)
              .join(" · ") || "no deckies yet: decnet fleet apply -f fleet.yaml"
          }`,
          ...troubled
            .slice(0, 20)
            .map(
              (decky) =>
                `  ! ${decky.ref?.name ?? ""}  ${word(DeckyState, decky.state)}  ${visible(decky.message)}    decnet decky get ${decky.ref?.name ?? ""}`,
            ),
        ].join("\n"),
      );
      return undefined;
    }),
  );
}
