import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { formatDocument } from "./forms.ts";
import { explain, type Help } from "./help.ts";
import { print, printRaw } from "./output.ts";
import { formOf, type ReadFlags } from "./read-flags.ts";

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

/** For a command that shows something: pass its flags on to `show`. */
export function reading(command: Command, help?: Help): Command {
  return explain(command, help);
}

/** For a command that changes something: pass its flags on to `runChange`. */
export function changing(command: Command, help?: Help): Command {
  return reading(
    command
      .option("-y, --yes", "do not ask; never covers named risks")
      .option(
        "--accept <risk>",
        "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, " +
          "count=N; repeatable",
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
