import { readFile } from "node:fs/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { cleanLine } from "@decnet/common/runtime/foreign-text";
import { version } from "@decnet/common/version";
import { reasons } from "@decnet/contract/reasons";
import type { Environment } from "@decnet/engine/settings";
import type { Command } from "commander";
import type { MasterConfig } from "../config.ts";
import { type BackupOptions, type BackupSummary, makeBackup } from "./make-backup.ts";
import { restoreBackup } from "./restore-backup.ts";

const fewestLetters = 12;
const passphraseName = "DECNET_BACKUP_PASSPHRASE";

/** `decnet-master backup` and `restore`, which `decnet` runs: with the master's settings, beside its data folder. */
export function registerBackups(program: Command, env: Environment, configOf: (env: Environment) => MasterConfig): void {
  const acts = [
    ["backup", "Write the database, the keys and the authority to one encrypted file.", makeBackup, "made"],
    ["restore", "Put a backup into an empty data folder and an empty database.", restoreBackup, "restored"],
  ] as const;
  for (const [name, text, act, verb] of acts)
    program
      .command(`${name} <file>`)
      .description(text)
      .option("--passphrase-file <file>", `where the passphrase is; otherwise it is in ${passphraseName}`)
      .option("--json", "say what was done as JSON")
      .action((file: string, flags: { passphraseFile?: string; json?: boolean }) =>
        report(async () => {
          const passphrase = await readPassphrase(flags.passphraseFile, env[passphraseName]);
          const { dataDir, databaseUrl } = configOf(env);
          const extraRootsFile = env["NODE_EXTRA_CA_CERTS"];
          const options = { dataDir, databaseUrl, extraRootsFile, file, passphrase, version } satisfies BackupOptions;
          const summary = await act(options);
          return flags.json === true ? JSON.stringify(summary) : sentenceOf(summary, verb);
        }),
      );
}

function sentenceOf({ file, bytes, installation, version: made, madeAt }: BackupSummary, verb: "made" | "restored"): string {
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  const about = `installation ${installation}, decnet ${made}, ${madeAt}`;
  return verb === "made"
    ? `${file} is complete: ${size}, ${about}`
    : `restored from ${file}: ${about}; the master can be started now`;
}

/** The first line of the file, without its end. */
async function readPassphrase(file: string | undefined, given: string | undefined): Promise<string> {
  const text = file === undefined ? given : await readFile(file, "utf8").catch((error: Error) => refuse(error.message));
  const [passphrase = ""] = (text ?? "").split(/\r?\n/);
  if (passphrase === "") refuse(`there is none: name a file with --passphrase-file, or set ${passphraseName}`);
  if (passphrase.length < fewestLetters) refuse(`it has at least ${fewestLetters} characters`);
  return passphrase;
}

function refuse(description: string): never {
  throw new AppError("REQUEST_INVALID", `passphrase: ${description}`, { violations: [{ field: "passphrase", description }] });
}

async function report(act: () => Promise<string>): Promise<void> {
  try {
    process.stdout.write(`${await act()}\n`);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    process.stderr.write(`error: ${error.reason}  ${cleanLine(error.message)}\n`);
    for (const next of error.next) process.stderr.write(` next:  ${cleanLine(next)}\n`);
    process.exitCode = reasons[error.reason].exit;
  }
}
