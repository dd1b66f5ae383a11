import type { Command } from "commander";
import { wrap } from "./text/wrap.ts";

const exitCodes =
  "Exit codes: 0 done · 1 unexpected · 2 bad input · 3 not found · 4 conflict · 5 not signed in or not allowed · " +
  "6 unreachable · 7 failed and undone · 8 failed and NOT undone · 9 --wait ran out, the operation goes on · " +
  "10 --plan --exit-code: there are changes · 130 interrupted";

/** What the help of a command shows besides its flags. */
export interface Help {
  /** Command lines without the leading `decnet`; three of them. */
  readonly examples: readonly string[];
  /** The method behind it, such as `FleetService/GetDecky`. */
  readonly rpc?: string;
  /** A request for grpcurl, as JSON. */
  readonly body?: string;
}

/** Ends the help of every command; as wide as the terminal. */
export function explain(command: Command, help?: Help): Command {
  return command.addHelpText("after", () => formatHelp(help, helpWidth()));
}

function helpWidth(): number {
  return process.stdout.columns || 80;
}

function formatHelp(help: Help | undefined, width: number): string {
  const lines = help === undefined ? [] : ["", "Examples:", ...help.examples.map((example) => `  decnet ${example}`)];
  if (help?.rpc !== undefined) lines.push("", `RPC: decnet.v1.${help.rpc}`, ...grpcurlLines(help.rpc, help.body ?? "{}", width));
  return [...lines, "", wrap(exitCodes, width)].join("\n");
}

/** A call that can be pasted: the shell joins its lines, and JSON may be broken between two values. */
function grpcurlLines(rpc: string, body: string, width: number): string[] {
  const data: string[] = [];
  for (const part of body.split(/(?<=,)/)) {
    const last = data.at(-1);
    if (last !== undefined && last.length + part.length < width - 10) data[data.length - 1] = last + part;
    else data.push(part);
  }
  return [
    '  grpcurl -plaintext -H "authorization: Bearer $DECNET_TOKEN" \\',
    `    -d '${data.join("\n      ")}' \\`,
    `    127.0.0.1:7440 decnet.v1.${rpc}`,
  ];
}
