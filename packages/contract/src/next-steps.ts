/**
 * What to do next, as data. A console turns `command` into a link or a button; a terminal prints the same step as a line.
 * `command` is a command line of `decnet` without its first word.
 */
export type NextStep =
  | { readonly advice: string; readonly command?: readonly string[] }
  | { readonly advice?: undefined; readonly command: readonly string[] };

const hole = /\{(\w+)\}/g;

/** The metadata keys that a step names in braces. */
export function holesOf({ advice = "", command = [] }: NextStep): string[] {
  return [advice, ...command].flatMap((text) => [...text.matchAll(hole)].map(([, key = ""]) => key));
}

/** The step with its `{keys}` filled; undefined when one of them is unknown. */
export function fillStep(step: NextStep, metadata: Readonly<Record<string, string>>): NextStep | undefined {
  if (holesOf(step).some((key) => metadata[key] === undefined)) return undefined;
  const fill = (text: string) => text.replaceAll(hole, (_, key: string) => metadata[key] ?? "");
  return makeStep(step.advice === undefined ? undefined : fill(step.advice), step.command?.map(fill));
}

/** One line: `decnet decky list`, `Choose another host: decnet host list`, or only advice. */
export function renderStep({ advice, command }: NextStep, program = "decnet"): string {
  const line = command === undefined ? undefined : [program, ...command.map(quote)].join(" ");
  return [advice, line].filter((part) => part !== undefined).join(": ");
}

/** What `renderStep` wrote, as data again: on the wire steps are lines. Text without a command is advice. */
export function readStep(line: string): NextStep {
  const [, advice, command] = /^(?:(.*?): )?decnet ([a-z].*)$/.exec(line) ?? [];
  return command === undefined ? { advice: line } : makeStep(advice, splitWords(command));
}

function makeStep(advice: string | undefined, command: readonly string[] | undefined): NextStep {
  if (command === undefined) return { advice: advice ?? "" };
  return advice === undefined ? { command } : { advice, command };
}

/** A word as a shell reads it back. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function splitWords(text: string): string[] {
  const words = text.match(/(?:'[^']*'|\\'|[^\s'\\])+/g) ?? [];
  return words.map((word) =>
    word.replaceAll(/'([^']*)'|\\(')/g, (_, quoted?: string, escaped?: string) => quoted ?? escaped ?? ""),
  );
}
