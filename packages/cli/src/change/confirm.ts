import type { Plan, Risk } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Confirmation } from "../contexts/contexts.ts";

export interface ConfirmInput {
  readonly plan: Plan | undefined;
  /** Named risks that the user has accepted in advance. */
  readonly accepted: readonly string[];
  /** -y: no plain question. */
  readonly yes: boolean;
  /** Whether a plain yes is asked for at all; adds disturb nothing and ask nothing. */
  readonly asks: boolean;
  /** The biggest changes need this typed. */
  readonly typed: { readonly name: string; readonly accept: string } | undefined;
  readonly context: {
    readonly name: string;
    readonly isProtected: boolean;
    readonly isNamed: boolean;
    readonly confirm: Confirmation | undefined;
  };
}

/** What stands between a plan and its execution. */
export type Question =
  | { readonly kind: "type"; readonly text: string; readonly flags: string; readonly why: string }
  | { readonly kind: "yes"; readonly flags: string; readonly why: string; readonly canWait: boolean };

/** Which questions a change needs, in order. Without a terminal the first of them is a refusal that names its flags. Pure. */
export function questionsFor({ plan, accepted, yes, asks, typed, context }: ConfirmInput): Question[] {
  const questions: Question[] = [];
  const isNamedAndAccepted = context.isNamed && accepted.includes(context.name);
  if (context.isProtected && !isNamedAndAccepted)
    questions.push({
      kind: "type",
      text: context.name,
      flags: `--context ${context.name} --accept ${context.name}`,
      why: `the context ${context.name} is protected`,
    });
  if (context.confirm === "never" && !context.isProtected) return questions;
  if (typed !== undefined) {
    if (!accepted.includes(typed.accept))
      questions.push({ kind: "type", text: typed.name, flags: `--accept ${typed.accept}`, why: "it cannot be taken back" });
    return questions;
  }
  const open = risksOf(plan).filter((risk) => !accepted.includes(risk.code));
  if (open.length > 0) {
    questions.push({
      kind: "yes",
      flags: open.map((risk) => `--accept ${risk.code}`).join(" "),
      why: open.map((risk) => risk.message).join("; "),
      canWait: open.every((risk) => risk.code === "cut-sessions"),
    });
    return questions;
  }
  const hasAcceptedRisk = accepted.some((each) => each === "cut-sessions" || each === "restart-base");
  const agreed = yes || hasAcceptedRisk || (context.isProtected ? isNamedAndAccepted : context.confirm === "risky");
  const wanted = asks || context.confirm === "always";
  if (wanted && !agreed && questions.length === 0)
    questions.push({ kind: "yes", flags: "-y", why: "it changes what runs", canWait: false });
  return questions;
}

/** The risks of a plan, each code once; in a change of many deckies the parts repeat them. */
function risksOf(plan: Plan | undefined): Risk[] {
  return [...new Map((plan?.risks ?? []).map((risk) => [risk.code, risk])).values()];
}
