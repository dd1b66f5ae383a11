import { programName } from "./program-name.ts";

/** How output looks. Decided once, before the first command runs. */
export interface Look {
  readonly colour: boolean;
  /** Only ASCII characters: the locale is not UTF-8. */
  readonly ascii: boolean;
  /** stderr is a terminal whose last line may be rewritten. Otherwise lines are appended, with the time. */
  readonly live: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** How the user calls this program. */
  readonly program: string;
}

/** Decides how output looks, from the environment. Pure. */
export function chooseLook(input: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stderrIsTerminal: boolean;
  readonly noColour: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}): Look {
  const { env } = input;
  const isDumb = env["TERM"] === "dumb";
  const locale = env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "";
  return {
    colour: input.stderrIsTerminal && !isDumb && !input.noColour && (env["NO_COLOR"] ?? "") === "",
    ascii: !/utf-?8/i.test(locale),
    live: input.stderrIsTerminal && !isDumb,
    quiet: input.quiet,
    verbose: input.verbose,
    program: programName(env),
  };
}

const asciiOf: Readonly<Record<string, string>> = {
  "✔": "ok",
  "✖": "XX",
  "×": "x",
  "→": "->",
  "≠": "!=",
  "·": "-",
  "│": "|",
  "…": "...",
  "↻": "~",
  "–": "-",
};

const colours = { red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36, grey: 90 } as const;
export type Colour = keyof typeof colours;

export function isColour(text: string): text is Colour {
  return Object.hasOwn(colours, text);
}

export function paint(colour: Colour, text: string): string {
  return `\u001b[${colours[colour]}m${text}\u001b[39m`;
}

const colourOfMark: Readonly<Record<string, Colour>> = {
  "+": "green",
  "-": "red",
  "+/-": "yellow",
  "=": "grey",
  "!": "yellow",
  "!!": "red",
  "✔": "green",
  "✖": "red",
  "×": "red",
  "error:": "red",
  "warning:": "yellow",
};

const colourOfState: Readonly<Record<string, Colour>> = {
  "! degraded": "yellow",
  "! detached": "red",
  "× failed": "red",
  "? unknown": "magenta",
};

/** Puts colours on the marks that our texts use, and replaces characters that the terminal cannot show. Pure. */
export function dress(text: string, { colour, ascii }: Pick<Look, "colour" | "ascii">): string {
  const coloured = colour
    ? text
        .replaceAll(/! degraded|! detached|× failed|\? unknown|↻ (changing|deploying|tearing-down)/g, (state) =>
          paint(colourOfState[state] ?? "cyan", state),
        )
        .replaceAll(/^( *)(\+\/-|\+|-|=|!!|!|✔|✖|×|error:|warning:)(?= )/gm, (_, indent: string, mark: string) => {
          return `${indent}${paint(colourOfMark[mark] ?? "grey", mark)}`;
        })
    : text;
  if (!ascii) return coloured;
  return coloured.replaceAll(/[^\u0000-\u007f]/gu, (char) => asciiOf[char] ?? "?");
}
