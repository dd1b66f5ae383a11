import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { endLive, isInteractive } from "./output.ts";
import { visible } from "./text/layout.ts";
import { Interrupted, UsageError } from "./usage-error.ts";

/** Asks on the terminal. The end of input is an empty answer; Ctrl-C ends the command. */
export function ask(question: string): Promise<string> {
  endLive();
  return read(visible(question), process.stderr);
}

/** Asks for a secret without showing what is typed. */
export async function askHidden(key: string): Promise<string> {
  if (!isInteractive())
    throw new UsageError(
      `${key} needs a value and there is no terminal to ask on: ${key}=@file or ${key}=-; nothing was changed`,
    );
  endLive();
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const answer = await read("", silent, () => process.stderr.write(`${key}: `));
  process.stderr.write("\n");
  return answer;
}

/** Calls `onReady` when the terminal no longer echoes: a secret that is typed at an earlier prompt would be shown. */
async function read(question: string, output: NodeJS.WritableStream, onReady: () => void = () => undefined): Promise<string> {
  const prompt = createInterface({ input: process.stdin, output, terminal: true });
  onReady();
  const interrupted = new Promise<never>((_, reject) => {
    prompt.once("SIGINT", () => reject(new Interrupted("interrupted; nothing was changed")));
  });
  const closed = new Promise<string>((resolve) => prompt.once("close", () => resolve("")));
  try {
    return (await Promise.race([prompt.question(question), interrupted, closed])).trim();
  } finally {
    prompt.close();
  }
}
