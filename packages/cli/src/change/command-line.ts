import type { Plan } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { quote } from "@decnet/contract/next-steps";

const dropped = new Set(["--plan", "--dry-run", "--exit-code"]);

/** The command that does exactly what a plan says. Secrets from the arguments are not repeated. Pure. */
export function commandFor(plan: Plan, words: readonly string[]): string {
  const secrets = new Set(plan.changes.flatMap((change) => change.fields.filter((f) => f.secret).map((f) => f.key)));
  const kept = words.filter((word) => !dropped.has(word)).map((word) => hideSecret(word, secrets));
  return ["decnet", ...kept, "--expect-plan", plan.digest].map(quote).join(" ");
}

function hideSecret(word: string, secrets: ReadonlySet<string>): string {
  const at = word.indexOf("=");
  const isPlain = at > 0 && !word.startsWith("-") && !word.startsWith("@", at + 1);
  return isPlain && secrets.has(word.slice(0, at)) ? `${word.slice(0, at)}=-` : word;
}
