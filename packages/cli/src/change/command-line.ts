import type { Plan } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { quote } from "@decnet/contract/next-steps";

const dropped = new Set(["--plan", "--dry-run", "--exit-code"]);
const withFile = new Set(["-f", "--file"]);

/**
 * The command that does exactly what a plan says. Secrets from the arguments are not repeated. What came from standard input has
 * to come from there again: `input` is the file that it was, if it was one. Pure.
 */
export function commandFor(
  plan: Plan,
  words: readonly string[],
  { program = "decnet", input }: { readonly program?: string; readonly input?: string | undefined } = {},
): string {
  const secrets = new Set(plan.changes.flatMap((change) => change.fields.filter((f) => f.secret).map((f) => f.key)));
  const kept = asApply(words.filter((word) => !dropped.has(word))).map((word) => hideSecret(word, secrets));
  const line = [program, ...kept, "--expect-plan", plan.digest].map(quote).join(" ");
  return readsInput(words) ? `${line} < ${input === undefined ? "FILE" : quote(input)}` : line;
}

/** `fleet plan` shows what `fleet apply` does, `topology plan` what `topology deploy` does. */
function asApply(words: readonly string[]): string[] {
  const does = (index: number) => (words[index] === "plan" ? acts[words[index - 1] ?? ""] : undefined);
  const at = words.findIndex((_, index) => does(index) !== undefined);
  return words.map((word, index) => (index === at ? (does(index) ?? word) : word));
}

const acts: Readonly<Record<string, string>> = { fleet: "apply", topology: "deploy" };

/** Whether a file, or a setting, was read from standard input. */
export function readsInput(words: readonly string[]): boolean {
  return words.some(
    (word, index) =>
      (word === "-" && withFile.has(words[index - 1] ?? "")) ||
      word === "-f-" ||
      word === "--file=-" ||
      /^[a-z][a-z0-9_]*=-$/.test(word),
  );
}

function hideSecret(word: string, secrets: ReadonlySet<string>): string {
  const at = word.indexOf("=");
  const isPlain = at > 0 && !word.startsWith("-") && !word.startsWith("@", at + 1);
  return isPlain && secrets.has(word.slice(0, at)) ? `${word.slice(0, at)}=-` : word;
}
