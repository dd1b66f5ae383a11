import { reasons } from "@decnet/common/errors/reasons";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { CommanderError } from "commander";
import { say, visible } from "./output.ts";
import { createProgram } from "./program.ts";
import { UsageError } from "./settings.ts";

/** The `decnet` command: parses, runs one action, and turns whatever went wrong into a sentence, next steps and an exit code. */
const program = createProgram(process.env, (code) => {
  process.exitCode = code;
});
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

function report(error: unknown): number {
  // Commander has said what was wrong already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError) {
    say(`error: ${error.message}`);
    return 2;
  }
  const failure = fromConnectError(error);
  say(`error: ${failure.reason}  ${visible(failure.message)}`);
  for (const { field, description } of failure.violations) say(` field: ${field}: ${visible(description)}`);
  for (const next of failure.next) say(` next:  ${next}`);
  return reasons[failure.reason].exit;
}
