import vm from "node:vm";

interface Compiled {
  readonly regex: RegExp;
  /** More of it than one text can be tried with at once. */
  readonly isPlain: boolean;
}

const compiled = new Map<string, Compiled>();

/** A pattern of the catalog, for a whole text. */
function wholeText(pattern: string): Compiled {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const made = { regex: new RegExp(`^(?:${pattern})$`, "u"), isPlain: isPlain(pattern) };
  compiled.set(pattern, made);
  return made;
}

export function isPattern(pattern: string): boolean {
  try {
    return wholeText(pattern).regex.source !== "";
  } catch {
    return false;
  }
}

const mostMs = 25;
/** No pattern that anybody writes has many ways to try so few characters. */
const fewCharacters = 8;
/** Short of this many characters, a plain pattern is quick whatever the text is. */
const plainCharacters = 4_096;

/**
 * Whether a whole text fits a pattern of the catalog. Patterns are an operator's, texts anybody's: undefined when the two
 * together take too long, as the wrong kind of pattern does with the wrong text.
 */
export function fitsWhole(pattern: string, text: string): boolean | undefined {
  const { regex, isPlain } = wholeText(pattern);
  if (text.length <= (isPlain ? plainCharacters : fewCharacters)) return regex.test(text);
  // On a busy machine the time may pass with nothing done.
  return testWithin(regex, text) ?? testWithin(regex, text);
}

/** One that repeats no group that repeats something itself, and not much else: it cannot be slow with a short text. */
function isPlain(pattern: string): boolean {
  const bare = pattern.replaceAll(/\\./gsu, "x").replaceAll(/\[[^\]]*\]/gu, "x");
  const repeats = bare.match(/[*+]|\{\d+(,\d*)?\}/gu) ?? [];
  return repeats.length <= 2 && !/\)(?:[*+]|\{)/u.test(bare);
}

const sandbox: { regex: RegExp; text: string } = { regex: /$/u, text: "" };
let context: vm.Context | undefined;
const script = new vm.Script("regex.test(text)");

function testWithin(regex: RegExp, text: string): boolean | undefined {
  context ??= vm.createContext(sandbox);
  Object.assign(sandbox, { regex, text });
  try {
    return script.runInContext(context, { timeout: mostMs }) as boolean;
  } catch (error) {
    // It is of the other context, and no Error of this one.
    const { code } = error as { code?: unknown };
    if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return undefined;
    throw error;
  }
}
