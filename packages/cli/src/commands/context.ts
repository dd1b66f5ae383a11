import { resolve } from "node:path";
import { quote } from "@decnet/contract/next-steps";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { contextFilePath, readContextFile, writeContextFile } from "../contexts/context-file.ts";
import { type Confirmation, type Context, chooseContext, confirmations, localContext } from "../contexts/contexts.ts";
import { keepAuthority, trustFirst } from "../contexts/trust-first.ts";
import { reading } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { isColour } from "../look.ts";
import { print, printRaw } from "../output.ts";
import { type Address, parseAddress, refuseInClear } from "../reach/address.ts";
import { tlsFor } from "../reach/trust.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { table } from "../text/layout.ts";
import { UsageError } from "../usage-error.ts";

interface AddFlags {
  readonly fingerprint?: string;
  readonly role?: string;
  readonly protected?: boolean;
  readonly colour?: string;
  readonly confirm?: string;
}

/** `decnet context …`; none of it needs a master. */
export function registerContext(program: Command, cli: Cli): void {
  const context = program.command("context").description("Masters by name.");
  registerReads(context, cli);
  reading(context.command("use <name>").description("The default of new shells."), {
    examples: ["context use prod", "context use local", "context use lab && decnet status"],
  }).action((name: string) =>
    cli.run(() => {
      const file = readContextFile(cli.env);
      chooseContext({ context: name }, {}, file);
      writeContextFile(cli.env, { ...file, current: name });
      print(`new shells talk to ${name}`);
      return undefined;
    }),
  );
  reading(
    context
      .command("add <name>")
      .description("Remember a master; its address, token file and authority are the global flags.")
      .option("--fingerprint <sha256>", "trust the authority with this fingerprint, without a question")
      .option("--role <role>", "your role there; only shown to you")
      .option("--protected", "every change needs the context's name")
      .option("--colour <colour>", "of its name: red, green, yellow, blue, magenta, cyan, grey")
      .option("--confirm <when>", confirmations.join(", ")),
    {
      examples: [
        "context add lab --address http://127.0.0.1:7440 --token-file lab.token",
        "context add prod --address https://master.example:7443 --token-file prod.token --protected --colour red",
        "context add ci --address https://master.example:7443 --ca ca.pem --token-file ci.token --confirm risky",
      ],
    },
  ).action((name: string, flags: AddFlags) =>
    cli.run(async () => {
      await addContext(cli, name, flags);
      print(`${name} is in ${contextFilePath(cli.env)}`);
      return undefined;
    }),
  );
  reading(context.command("remove <name>").description("Forget a master."), {
    examples: ["context remove lab", "context remove prod", "context remove lab && decnet context list"],
  }).action((name: string) =>
    cli.run(() => {
      const file = readContextFile(cli.env);
      if (!file.contexts.some((each) => each.name === name)) throw new UsageError(`there is no context ${JSON.stringify(name)}`);
      writeContextFile(cli.env, {
        current: file.current === name ? undefined : file.current,
        contexts: file.contexts.filter((each) => each.name !== name),
      });
      print(`${name} is forgotten; its token file remains`);
      return undefined;
    }),
  );
}

function registerReads(context: Command, cli: Cli): void {
  reading(context.command("list").description("All contexts; * is the one in use."), {
    examples: ["context list", "context list --json", "context list -o name"],
  }).action((flags: ReadFlags) =>
    cli.run(() => {
      const file = readContextFile(cli.env);
      const contexts = file.contexts.some((each) => each.name === localContext.name)
        ? file.contexts
        : [localContext, ...file.contexts];
      const form = formOf(flags);
      if (form !== "table" && form !== "wide") printRaw(formatDocument(form, { contexts }));
      else {
        const used = cli.chosen().name;
        const row = (each: Context) => [each.name === used ? "*" : "", each.name, each.address, each.role || "-", traits(each)];
        print(table(["", "NAME", "ADDRESS", "ROLE", ""], contexts.map(row)));
      }
      return undefined;
    }),
  );
  reading(context.command("show").description("The context that commands use here, and why."), {
    examples: ["context show", "context show --json", "context show --context prod"],
  }).action((flags: ReadFlags) =>
    cli.run(() => {
      const { token, ...chosen } = cli.chosen();
      const form = formOf(flags);
      const shown = { ...chosen, file: contextFilePath(cli.env), hasToken: token !== "" };
      if (form !== "table" && form !== "wide") printRaw(formatDocument(form, shown));
      else
        print(
          [
            `${chosen.name}  ${chosen.address}  ${traits(chosen)}`.trimEnd(),
            `  token  ${token === "" ? chosen.tokenFile : "from --token or DECNET_TOKEN"}`,
            ...(chosen.ca === "" ? [] : [`  ca     ${chosen.ca}`]),
            `  file   ${shown.file}`,
          ].join("\n"),
        );
      return undefined;
    }),
  );
  reading(
    context.command("env <name>").description('Lines that bind one shell to a context: eval "$(decnet context env prod)".'),
    {
      examples: ["context env prod", "context env local", "context env prod > prod.env"],
    },
  ).action((name: string) =>
    cli.run(() => {
      chooseContext({ context: name }, {}, readContextFile(cli.env));
      printRaw(`export DECNET_CONTEXT=${quote(name)}\nunset DECNET_ADDRESS DECNET_TOKEN DECNET_TOKEN_FILE`);
      return undefined;
    }),
  );
}

function traits(context: Context): string {
  const { insecure, isProtected } = context;
  return [
    isProtected ? "protected" : "",
    insecure ? "token in clear" : "",
    context.confirm === undefined ? "" : `confirm ${context.confirm}`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** The address, the token file and the authority are global flags, so the program has parsed them. */
async function addContext(cli: Cli, name: string, flags: AddFlags): Promise<void> {
  const { address: given, tokenFile, ca, insecure } = cli.flags();
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/i.test(name)) throw new UsageError("a context's name is letters, digits, dots and hyphens");
  if (given === undefined) throw new UsageError("--address is needed, such as https://master.example:7443");
  const address = parseAddress(given);
  if (typeof address === "string") throw new UsageError(address);
  refuseInClear(address, insecure === true);
  if (flags.colour !== undefined && !isColour(flags.colour)) throw new UsageError(`${flags.colour} is not one of the colours`);
  const file = readContextFile(cli.env);
  if (file.contexts.some((each) => each.name === name))
    throw new UsageError(`the context ${name} exists; remove it first: decnet context remove ${name}`);
  const confirm = parseConfirmation(flags.confirm);
  const added: Context = {
    name,
    address: address.url,
    tokenFile: tokenFile === undefined ? "" : resolve(tokenFile),
    ca: await authorityFor(cli, name, address, { ca, fingerprint: flags.fingerprint }),
    insecure: insecure === true,
    role: flags.role ?? "",
    isProtected: flags.protected === true,
    colour: flags.colour,
    confirm,
  };
  writeContextFile(cli.env, { ...file, contexts: [...file.contexts, added] });
}

/** The file with the authority that signs for the master; empty when none is needed. */
async function authorityFor(
  cli: Cli,
  name: string,
  address: Address,
  { ca, fingerprint }: { ca: string | undefined; fingerprint: string | undefined },
): Promise<string> {
  if (!address.isTls) {
    if (ca !== undefined || fingerprint !== undefined)
      throw new UsageError("--ca and --fingerprint are for https:// addresses: over http:// nothing is encrypted");
    return "";
  }
  if (ca !== undefined) {
    tlsFor(ca);
    return resolve(ca);
  }
  const pem = await trustFirst(address, fingerprint);
  return pem === undefined ? "" : keepAuthority(contextFilePath(cli.env), name, pem);
}

function parseConfirmation(text: string | undefined): Confirmation | undefined {
  const found = confirmations.find((each) => each === text);
  if (text !== undefined && found === undefined) throw new UsageError(`--confirm is one of ${confirmations.join(", ")}`);
  return found;
}
