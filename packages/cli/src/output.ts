import { dress, isColour, type Look, paint } from "./look.ts";
import { named } from "./program-name.ts";
import { oneLine, visible, visibleJson } from "./text/layout.ts";
import { wrap } from "./text/wrap.ts";

/**
 * stdout is data, stderr is everything else. Every text goes through here, and loses what a terminal would obey before it gets
 * our colours: whoever wrote a part of it is not asked.
 */
let look: Look = { colour: false, ascii: false, live: false, quiet: false, verbose: false, program: "decnet" };
let live: { text: string; frame: number; readonly since: number; readonly timer: NodeJS.Timeout } | undefined;

export function setLook(chosen: Look): void {
  look = chosen;
}

/** How the user calls this program. */
export function program(): string {
  return look.program;
}

export function isVerbose(): boolean {
  return look.verbose;
}

/** Whether there is somebody to ask. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** A line that must be seen: questions, warnings, failures. */
export function say(text: string): void {
  write(text, (dressed) => dressed);
}

function write(text: string, colour: (dressed: string) => string): void {
  wipe();
  process.stderr.write(`${colour(dress(fit(named(visible(text), look.program), process.stderr), look))}\n`);
}

/** As wide as the terminal; where there is none, a line stays a line. */
function fit(text: string, stream: NodeJS.WriteStream): string {
  return stream.isTTY && stream.columns > 0 ? wrap(text, stream.columns) : text;
}

/** Progress, for somebody who waits. With --quiet nothing; without a terminal each line carries its time. */
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

/** A line that is not a step: plans, hints. With --quiet nothing. */
export function remark(text: string): void {
  if (!look.quiet) say(text);
}

/** Data for people on stdout, in which commands are advised. */
export function print(text: string): void {
  printPlain(fit(named(text, look.program), process.stdout));
}

/** Data for people on stdout, as others wrote it. */
export function printPlain(text: string): void {
  if (process.stdout.isTTY === true) wipe();
  process.stdout.write(`${dress(visible(text), { ...look, colour: look.colour && process.stdout.isTTY === true })}\n`);
}

/** An empty screen; where there is none, an empty line. */
export function clearScreen(): void {
  process.stdout.write(process.stdout.isTTY === true && look.live ? "\u001b[H\u001b[2J" : "\n");
}

/** Data for programs on stdout. Nothing is changed, but what a terminal would obey is written as its number in JSON. */
export function printRaw(text: string): void {
  process.stdout.write(`${visibleJson(text)}\n`);
}

/** The terminal's last line says what is going on, until `endLive`. Without a terminal nothing. */
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

/** Does the work; when it takes longer than a moment, the terminal says so. */
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
  const line = `${mark} ${oneLine(live.text)}  ${seconds}s`.slice(0, (process.stderr.columns ?? 80) - 1);
  process.stderr.write(`\r\u001b[2K${dress(line, { ...look, colour: false })}`);
}

function wipe(): void {
  if (live !== undefined) process.stderr.write("\r\u001b[2K");
}

/** A line in the colour that the user chose. */
export function sayIn(colour: string | undefined, text: string): void {
  write(text, (dressed) => (look.colour && colour !== undefined && isColour(colour) ? paint(colour, dressed) : dressed));
}
