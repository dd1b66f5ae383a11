/** stdout is data, stderr is everything else. How both look is decided once, before the first command acts. */
export interface Look {
  readonly colour: boolean;
  /** Only ASCII characters: the locale is not UTF-8. */
  readonly ascii: boolean;
  /** stderr is a terminal whose last line may be rewritten. Otherwise lines are appended, with the time. */
  readonly live: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

let look: Look = { colour: false, ascii: false, live: false, quiet: false, verbose: false };
let live: { text: string; frame: number; readonly since: number; readonly timer: NodeJS.Timeout } | undefined;

export function setLook(chosen: Look): void {
  look = chosen;
}

export function isVerbose(): boolean {
  return look.verbose;
}

/** Whether somebody can be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** A line that must be seen: questions, warnings, failures. */
export function say(text: string): void {
  wipe();
  process.stderr.write(`${dress(text, look)}\n`);
}

/** What happens while somebody waits. With --quiet nothing; without a terminal each line carries its time. */
export function progress(text: string): void {
  if (look.quiet) return;
  say(
    look.live
      ? text
      : text
          .split("\n")
          .map((line) => `${new Date().toISOString()} ${line}`)
          .join("\n"),
  );
}

/** A line that is no step of its own: plans, hints. With --quiet nothing. */
export function remark(text: string): void {
  if (!look.quiet) say(text);
}

/** Data for people on stdout. */
export function print(text: string): void {
  if (process.stdout.isTTY === true) wipe();
  process.stdout.write(`${dress(text, { ...look, colour: look.colour && process.stdout.isTTY === true })}\n`);
}

/** Data for programs on stdout: not a character is changed. */
export function printRaw(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The last line of the terminal says what goes on, until `endLive`. Without a terminal nothing. */
export function showLive(text: string): void {
  if (!look.live || look.quiet) return;
  if (live !== undefined) {
    live.text = text;
    return;
  }
  const timer = setInterval(draw, 100);
  timer.unref();
  live = { text, frame: 0, since: performance.now(), timer };
}

export function endLive(): void {
  wipe();
  if (live !== undefined) clearInterval(live.timer);
  live = undefined;
}

/** Does the work; when it takes longer than a moment, a terminal says so. */
export async function during<T>(text: string, work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => showLive(text), 500);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    endLive();
  }
}

const frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

function draw(): void {
  if (live === undefined) return;
  live.frame = (live.frame + 1) % frames.length;
  const seconds = ((performance.now() - live.since) / 1_000).toFixed(0);
  const mark = look.ascii ? (["|", "/", "-", "\\"][live.frame % 4] ?? "|") : frames[live.frame];
  const line = `${mark} ${live.text}  ${seconds}s`.slice(0, (process.stderr.columns ?? 80) - 1);
  process.stderr.write(`\r\u001b[2K${dress(line, { ...look, colour: false })}`);
}

function wipe(): void {
  if (live !== undefined) process.stderr.write("\r\u001b[2K");
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

function paint(colour: Colour, text: string): string {
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
  "↻ changing": "cyan",
};

/** Puts colours on the marks that our texts use, and takes characters away that the terminal cannot show. Pure. */
export function dress(text: string, { colour, ascii }: Pick<Look, "colour" | "ascii">): string {
  const coloured = colour
    ? text
        .replaceAll(/! degraded|! detached|× failed|\? unknown|↻ changing/g, (state) =>
          paint(colourOfState[state] ?? "yellow", state),
        )
        .replaceAll(/^( *)(\+\/-|\+|-|=|!!|!|✔|✖|×|error:|warning:)(?= )/gm, (_, indent: string, mark: string) => {
          return `${indent}${paint(colourOfMark[mark] ?? "grey", mark)}`;
        })
    : text;
  if (!ascii) return coloured;
  return coloured.replaceAll(/[^\u0000-\u007f]/gu, (char) => asciiOf[char] ?? "?");
}

/** A line in a colour of the user's choice. */
export function sayIn(colour: string | undefined, text: string): void {
  say(look.colour && colour !== undefined && isColour(colour) ? paint(colour, text) : text);
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
  };
}

/** Columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return columns([head, ...rows]);
}

/** Rows whose cells stand below each other. */
export function columns(rows: readonly (readonly string[])[]): string {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `3s`, `4m`, `2h`, `5d` */
export function age(from: { readonly seconds: bigint } | undefined, now = Date.now()): string {
  if (from === undefined) return "never";
  const seconds = Math.max(0, Math.round(now / 1000) - Number(from.seconds));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`;
}

/** The word of an enum value: `DECKY_STATE_RUNNING` and 3 are both `running`. */
export function word(names: Readonly<Record<number, string>>, value: number): string {
  return (names[value] ?? "unknown").toLowerCase().replaceAll("_", "-");
}

/** What attackers or containers wrote must not move the cursor of who reads it. */
export function visible(text: string): string {
  return text.replaceAll(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
