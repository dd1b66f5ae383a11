import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { print } from "./output.ts";

/** Ends the help of every command. */
export const exitCodes = `
Exit codes: 0 done · 1 unexpected · 2 bad input · 3 not found · 4 conflict · 5 not signed in or not allowed · 6 unreachable ·
7 failed and undone · 8 failed and NOT undone · 9 --wait ran out, the operation goes on · 10 --plan --exit-code: there are changes · 130 interrupted`;

/** Flags of every command that shows something. */
export type ReadFlags = { readonly json?: boolean };

/** Prints an answer in the form that was asked for: the contract's JSON, or the text for people. */
export const show = <Desc extends DescMessage>(flags: ReadFlags, schema: Desc, message: MessageShape<Desc>, text: () => string) =>
  print(flags.json === true ? JSON.stringify(toJson(schema, message), null, 2) : text());

/** Makes a command one that shows something: pass its flags on to `show`. */
export const reading = (command: Command) => command.option("--json", "one JSON document");

/** Makes a command one that changes something: pass its flags on to `runChange`. */
export const changing = (command: Command) =>
  reading(command)
    .option("-y, --yes", "do not ask; never covers named risks")
    .option("--accept <risk...>", "accept a named risk: cut-sessions, restart-base, teardown=NAME")
    .option("--plan", "only show the plan")
    .option("--exit-code", "with --plan: exit 10 when there are changes")
    .option("--wait <how>", "applied (default), accepted, or a time such as 30s")
    .option("--expect <revision>", "refuse unless the decky is at this revision")
    .option("--expect-plan <digest>", "refuse unless the plan is this one")
    .option("--reason <text>", "kept with the operation")
    .option("--request-id <id>", "the same id again gives the same operation")
    .option("--on-failure <what>", "undo (default) or keep")
    .addHelpText("after", exitCodes);
