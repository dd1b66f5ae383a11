import { toJson } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  CreateTokenResponseSchema,
  ListTokensResponseSchema,
  RevokeTokenResponseSchema,
  Role,
} from "@decnet/contract/gen/decnet/v1/access_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { printRaw, remark } from "../output.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { formatTokens } from "../text/access.ts";
import { parseDuration } from "../text/duration.ts";
import { UsageError } from "../usage-error.ts";

const roles: Readonly<Record<string, Role>> = { viewer: Role.VIEWER, operator: Role.OPERATOR, admin: Role.ADMIN };

/** `decnet token …` */
export function registerToken(program: Command, cli: Cli): void {
  const token = program.command("token").description("Who may talk to the master.");
  reading(
    token
      .command("create <name>")
      .description("Make a token; its secret is shown this once, on stdout.")
      .requiredOption("--role <role>", "viewer reads, operator changes deckies, admin does everything")
      .option("--ttl <time>", "how long it is valid, such as 30d; without it for ever"),
    {
      examples: [
        "token create maria --role operator",
        "token create ci --role viewer --ttl 30d -o name > ci.token",
        "token create backup --role viewer --json",
      ],
      rpc: "AccessService/CreateToken",
      body: '{"name":"maria","role":"ROLE_OPERATOR"}',
    },
  ).action((name: string, flags: ReadFlags & { role: string; ttl?: string }) =>
    cli.withConnection(async ({ access }) => {
      const role = roles[flags.role];
      if (role === undefined) throw new UsageError(`--role is one of ${Object.keys(roles).join(", ")}`);
      const ttlMs = flags.ttl === undefined ? undefined : parseDuration(flags.ttl);
      if (flags.ttl !== undefined && !ttlMs) throw new UsageError("--ttl is a time such as 12h or 30d");
      const form = formOf(flags);
      const made = await access.createToken({ name, role, ...(ttlMs === undefined ? {} : { ttl: durationFromMs(ttlMs) }) });
      if (form === "table" || form === "wide" || form === "name") {
        printRaw(made.secret);
        const id = made.token?.id ?? "";
        remark(`${id} ${name} (${flags.role}); it is not shown again. Revoke it: decnet token revoke ${id}`);
      } else printRaw(formatDocument(form, toJson(CreateTokenResponseSchema, made)));
      return undefined;
    }),
  );
  reading(token.command("list").description("All tokens, without their secrets."), {
    examples: ["token list", "token list --json", "token list -o name"],
    rpc: "AccessService/ListTokens",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async ({ access }) => {
      const found = await access.listTokens({});
      show(flags, ListTokensResponseSchema, found, () => formatTokens(found.tokens, Date.now()));
      return undefined;
    }),
  );
  reading(token.command("revoke <id>").description("End a token at once; what was done with it stays on record."), {
    examples: ["token revoke tk-81bc", "token revoke tk-81bc --json", "token revoke tk-81bc && decnet token list"],
    rpc: "AccessService/RevokeToken",
    body: '{"id":"tk-81bc"}',
  }).action((id: string, flags: ReadFlags) =>
    cli.withConnection(async ({ access }) => {
      const revoked = await access.revokeToken({ id });
      show(flags, RevokeTokenResponseSchema, revoked, () => `${id} ${revoked.token?.name ?? ""} is revoked`);
      return undefined;
    }),
  );
}
