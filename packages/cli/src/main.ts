#!/usr/bin/env node
import { CommanderError } from "commander";
import { createProgram } from "./program.ts";

/** The `decnet` command: parses and runs one action, which reports its own failure and exit code. */

const sigpipe = 141;
// The reader has seen enough, as in `decnet events | head`: that ends this program silently, like others.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(sigpipe);
  });

const program = createProgram(process.env, (code) => {
  process.exitCode = code;
});
try {
  await program.parseAsync();
} catch (error) {
  // Commander has already said what was wrong.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
