import { CommanderError } from "commander";
import { createProgram } from "./program.ts";

/** The `decnet` command: parses and runs one action, which says itself what went wrong and how it ended. */
const program = createProgram(process.env, (code) => {
  process.exitCode = code;
});
try {
  await program.parseAsync();
} catch (error) {
  // Commander has said what was wrong already.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
