import { Role, WhoAmIResponseSchema } from "@decnet/contract/gen/decnet/v1/access_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import type { ReadFlags } from "../read-flags.ts";
import { word } from "../text/layout.ts";

/** `decnet whoami` */
export function registerWhoami(program: Command, cli: Cli): void {
  reading(program.command("whoami").description("Who you are to the master."), {
    examples: ["whoami", "whoami --json", "whoami --context prod"],
    rpc: "AccessService/WhoAmI",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async ({ access }) => {
      const me = await access.whoAmI({});
      show(flags, WhoAmIResponseSchema, me, () => `${me.name}  ${word(Role, me.role)}  ${me.tokenId}`);
      return undefined;
    }),
  );
}
