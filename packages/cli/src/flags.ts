import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Form, formatDocument, forms, isForm } from "./forms.ts";
import { print, printRaw } from "./output.ts";
import { UsageError } from "./settings.ts";

/** Ends the help of every command. */
export const exitCodes = `
Exit codes: 0 done · 1 unexpected · 2 bad input · 3 not found · 4 conflict · 5 not signed in or not allowed · 6 unreachable ·
7 failed and undone · 8 failed and NOT undone · 9 --wait ran out, the operation goes on ·
10 --plan --exit-code: there are changes · 130 interrupted`;

/** Flags of every command that shows something. They are global; the program hands them to each command. */
export interface ReadFlags {
  readonly json?: boolean;
  readonly output?: string;
}

/** The form that was asked for. */
export function formOf(flags: ReadFlags): Form {
  const form = flags.json === true ? "json" : (flags.output ?? "table");
  if (!isForm(form)) throw new UsageError(`--output is one of ${forms.join(", ")}, not ${JSON.stringify(form)}`);
  return form;
}

/** Prints a response in the form that was asked for: the contract's JSON for programs, or text for people. */
export function show<Desc extends DescMessage>(
  flags: ReadFlags,
  schema: Desc,
  message: MessageShape<Desc>,
  text: (isWide: boolean) => string,
): void {
  const form = formOf(flags);
  if (form === "table" || form === "wide") print(text(form === "wide"));
  else {
    const rendered = formatDocument(form, toJson(schema, message));
    if (rendered !== "") printRaw(rendered);
  }
}

/** What the help of a command shows besides its flags. */
export interface Help {
  /** Command lines without the leading `decnet`; three of them. */
  readonly examples: readonly string[];
  /** The method behind it, such as `FleetService/GetDecky`. */
  readonly rpc?: string;
  /** A request for grpcurl, as JSON. */
  readonly body?: string;
}

/** For a command that shows something: pass its flags on to `show`. */
export function reading(command: Command, help?: Help): Command {
  return command.addHelpText("after", `${help === undefined ? "" : formatHelp(help)}${exitCodes}`);
}

/** For a command that changes something: pass its flags on to `runChange`. */
export function changing(command: Command, help?: Help): Command {
  return reading(
    command
      .option("-y, --yes", "do not ask; never covers named risks")
      .option(
        "--accept <risk>",
        "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, count=N; repeatable",
        collect,
      )
      .option("--plan", "only show the plan")
      .option("--dry-run", "the same as --plan")
      .option("--exit-code", "with --plan: exit 10 when there are changes")
      .option("--wait <how>", "applied (default), accepted, or a time such as 30s")
      .option("--wait-idle <time>", "wait this long for open sessions to end, instead of cutting them")
      .option("--expect <revision>", "refuse unless the decky is at this revision")
      .option("--expect-plan <digest>", "refuse unless the plan is this one")
      .option("--reason <text>", "kept with the operation")
      .option("--request-id <id>", "the same id again gives the same operation")
      .option("--on-failure <what>", "undo (default) or keep")
      .option("--when-away <what>", "queue (default) the change for a host that is away, or refuse it"),
    help,
  );
}

/** For a command that takes settings of services. */
export function takingSettings(command: Command): Command {
  return command.option("--ignore-unknown", "leave out settings that the service does not have, instead of refusing them");
}

export interface SettingsFlags extends ReadFlags {
  readonly file?: string;
  readonly ignoreUnknown?: boolean;
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function formatHelp({ examples, rpc, body }: Help): string {
  const lines = ["", "Examples:", ...examples.map((example) => `  decnet ${example}`)];
  if (rpc !== undefined)
    lines.push(
      "",
      `RPC: decnet.v1.${rpc}`,
      `  grpcurl -plaintext -H "authorization: Bearer $DECNET_TOKEN" -d '${body ?? "{}"}' 127.0.0.1:7440 decnet.v1.${rpc}`,
    );
  return `${lines.join("\n")}\n`;
}
