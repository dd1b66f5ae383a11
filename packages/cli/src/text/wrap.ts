/**
 * Lines as wide as a terminal. A broken line goes on under its text; a command that can be pasted gets a line of its own and is
 * never broken. Pure, like everything in this folder.
 */
export function wrap(text: string, width: number): string {
  return text
    .split("\n")
    .flatMap((line) => wrapLine(line, width))
    .join("\n");
}

const least = 20;

function wrapLine(line: string, width: number): string[] {
  if (line.length <= width || width < least) return [line];
  const indent = " ".repeat(hangingIndent(line, width));
  const [before, command] = splitCommand(line);
  if (command === "" || before === "") return command === "" ? fill(line, width, indent) : [line];
  const lines = fill(before, width, indent);
  const last = lines.at(-1) ?? "";
  if (last.length + 1 + command.length <= width) return [...lines.slice(0, -1), `${last} ${command}`];
  return [...lines, `${indent}${command}`];
}

/** What stands before the first command of ours, and the command with all that follows. Looks at each character once. */
function splitCommand(line: string): readonly [before: string, command: string] {
  const at = line.search(/decnet [a-z]/);
  if (at < 0) return ["", ""];
  let start = at;
  if (line[at - 1] === "/") while (start > 0 && /[\w./~@+-]/.test(line[start - 1] ?? "")) start -= 1;
  return [line.slice(0, start).trimEnd(), line.slice(start)];
}

/** Rows such as `  services   ssh …` go on under their second column, everything else a little to the right. */
function hangingIndent(line: string, width: number): number {
  const column = /^ *\S+ {2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  const start = line.search(/\S/);
  return column > 0 && column <= width / 3 ? column : start + 2;
}

function fill(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const from = lines.length === 0 ? rest.search(/\S/) : indent.length;
    const space = rest.lastIndexOf(" ", width);
    // A word that is wider than the terminal stays whole.
    const at = space > from ? space : rest.indexOf(" ", Math.max(width, from));
    if (at < 0) break;
    lines.push(rest.slice(0, at).trimEnd());
    rest = indent + rest.slice(at).trimStart();
  }
  return rest.trim() === "" ? lines : [...lines, rest];
}
