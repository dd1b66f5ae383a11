import { access } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { startProgram } from "@decnet/common/runtime/start-program";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading } from "../flags.ts";
import { isInteractive } from "../output.ts";
import { askHidden } from "../prompts.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { UsageError } from "../usage-error.ts";

interface BackupFlags extends ReadFlags {
  readonly passphraseFile?: string;
}

const variable = "DECNET_BACKUP_PASSPHRASE";

/**
 * `decnet backup` and `decnet restore` run the master's program, on its machine and with its settings: keys leave the data folder
 * in no other way, and no call of the network gives them out.
 */
export function registerBackup(program: Command, cli: Cli): void {
  const acts = [
    ["backup", "Write this machine's master, its database and its keys, to one encrypted file; it may run meanwhile."],
    ["restore", "Put a backup into an empty data folder and an empty database, of either kind."],
  ] as const;
  for (const [name, text] of acts)
    reading(
      program
        .command(`${name} <file>`)
        .description(text)
        .option("--passphrase-file <file>", `where the passphrase is; otherwise ${variable}, or it is asked for`),
      {
        examples: [
          `${name} decnet.backup`,
          `${name} decnet.backup --passphrase-file /root/backup.passphrase`,
          `${name} decnet.backup --passphrase-file /root/backup.passphrase --json`,
        ],
      },
    ).action((file: string, flags: BackupFlags) =>
      cli.run(async () => {
        const env = { ...cli.env };
        if (flags.passphraseFile === undefined && !env[variable] && isInteractive())
          env[variable] = await askPassphrase(name === "backup");
        const more = [
          ...(flags.passphraseFile === undefined ? [] : ["--passphrase-file", flags.passphraseFile]),
          ...(/^json/.test(formOf(flags)) ? ["--json"] : []),
        ];
        return runMaster([name, file, ...more], env);
      }),
    );
}

async function askPassphrase(twice: boolean): Promise<string> {
  const first = await askHidden("passphrase");
  if (twice && (await askHidden("once more")) !== first) throw new UsageError("these are two different passphrases");
  return first;
}

/** Built as this program is, or from the sources as this one. */
async function runMaster(args: readonly string[], env: Cli["env"]): Promise<number> {
  const isSource = import.meta.url.endsWith(".ts");
  const path = fileURLToPath(new URL(`../../../master/${isSource ? "src/main.ts" : "dist/main.js"}`, import.meta.url));
  await access(path).catch(() => {
    throw new UsageError("this is done on the machine of the master: run it there, as the user that the master runs as");
  });
  const given = Object.fromEntries(Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
  const program = await startProgram(process.execPath, [...process.execArgv, path, ...args], { env: given });
  const end = () => program.kill("SIGTERM");
  process.once("SIGTERM", end).once("SIGINT", end);
  program.stdout.pipe(process.stdout, { end: false });
  program.stderr.pipe(process.stderr, { end: false });
  return (await program.closed) ?? 1;
}
