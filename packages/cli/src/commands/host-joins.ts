import {
  ListJoinTokensResponseSchema,
  ListRefusedJoinsResponseSchema,
  RevokeJoinTokenResponseSchema,
} from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import type { ReadFlags } from "../read-flags.ts";
import { formatJoinTokens, formatRefusedJoins } from "../text/access.ts";

const mostRefused = 100;

/** `decnet host tokens|revoke-token|refused`: who may join, and who was not let in. */
export function registerJoins(host: Command, cli: Cli): void {
  reading(host.command("tokens").description("Join tokens, used and unused, without their secrets."), {
    examples: ["host tokens", "host tokens --json", "host tokens -o name"],
    rpc: "SwarmService/ListJoinTokens",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async ({ swarm }) => {
      const found = await swarm.listJoinTokens({});
      show(flags, ListJoinTokensResponseSchema, found, () => formatJoinTokens(found.tokens, Date.now()));
      return undefined;
    }),
  );
  reading(host.command("revoke-token <id>").description("End a join token; workers that joined with it stay."), {
    examples: ["host revoke-token jt-81bc", "host revoke-token jt-81bc --json", "host revoke-token jt-81bc -o yaml"],
    rpc: "SwarmService/RevokeJoinToken",
    body: '{"id":"jt-81bc"}',
  }).action((id: string, flags: ReadFlags) =>
    cli.withConnection(async ({ swarm }) => {
      const revoked = await swarm.revokeJoinToken({ id });
      show(flags, RevokeJoinTokenResponseSchema, revoked, () => `${id} for ${revoked.token?.hostName ?? ""} is revoked`);
      return undefined;
    }),
  );
  reading(host.command("refused").description("Joins that were refused, newest first, with the reason."), {
    examples: ["host refused", "host refused --json", "host refused -o jsonl"],
    rpc: "SwarmService/ListRefusedJoins",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async ({ swarm }) => {
      const found = await swarm.listRefusedJoins({ pageSize: mostRefused });
      show(flags, ListRefusedJoinsResponseSchema, found, () => formatRefusedJoins(found.refused, Date.now()));
      return undefined;
    }),
  );
}
