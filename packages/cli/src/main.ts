#!/usr/bin/env node
/** The `decnet` command: parses and runs one action, which reports its own failure and exit code. */

const sigpipe = 141;
// The reader has seen enough, as in `decnet events | head`: that ends this program silently, like others.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(sigpipe);
  });

const words = process.argv.slice(2);
if (words[0] === "__complete") {
  const { complete } = await import("./completion/main.ts");
  await complete(words.slice(words[1] === "--" ? 2 : 1), process.env);
} else await run();

async function run(): Promise<void> {
  const [{ createProgram }, { explainUnknown }, { tree }] = await Promise.all([
    import("./program.ts"),
    import("./tree.ts"),
    import("./gen/tree.ts"),
  ]);
  const unknown = explainUnknown(tree, words);
  if (unknown !== undefined) {
    process.stderr.write(`${unknown}\n`);
    process.exitCode = 2;
    return;
  }
  const { CommanderError } = await import("commander");
  const onExit = (code: number) => {
    process.exitCode = code;
  };
  try {
    await (await createProgram(process.env, onExit, words)).parseAsync();
  } catch (error) {
    // Commander has already said what was wrong.
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 || error.code === "commander.help" ? 0 : 2;
  }
}
