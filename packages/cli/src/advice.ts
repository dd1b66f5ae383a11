import { accessSync, constants } from "node:fs";
import type { CallFailure } from "@decnet/common/rpc/errors";
import type { Reason } from "@decnet/contract/reasons";
import type { ChosenContext } from "./contexts/contexts.ts";

/**
 * What to do next at a terminal, where the contract's advice is worded for programs: a request has fields and digests, a
 * command line has flags. Undefined: the contract's advice fits.
 */
export function adviceFor({ reason }: CallFailure, context: ChosenContext | undefined): readonly string[] | undefined {
  if (reason === "UNAUTHENTICATED") return context === undefined ? undefined : tokenAdvice(context);
  return plain[reason];
}

const plain: Readonly<Partial<Record<Reason, readonly string[]>>> = {
  REQUEST_INVALID: ["Correct the command line; --help shows what each word and flag may be"],
  PLAN_CHANGED: ["Read the plan as it is now, and run the command again; with --plan it prints the digest to give back"],
  REQUEST_ID_REUSED: ["Give another --request-id, or leave it out"],
  CURSOR_INVALID: ["Give an age, such as --since 1h, or the cursor of an event: decnet events -o name"],
  NOT_ALLOWED: ["Who you are: decnet whoami", "An admin makes tokens: decnet token create NAME --role operator"],
};

function tokenAdvice({ token, tokenFile, name, isStored }: ChosenContext): string[] {
  const other = "Give another one: --token-file FILE, or DECNET_TOKEN";
  const made = "An admin makes one: decnet token create NAME --role operator";
  if (token !== "") return [`The token of --token or DECNET_TOKEN is not valid there. ${other}`, made];
  if (tokenFile === "") return [`No token is given${isStored ? `, and the context ${name} names none` : ""}. ${other}`, made];
  try {
    accessSync(tokenFile, constants.R_OK);
  } catch (error) {
    const why = error instanceof Error && "code" in error && error.code === "EACCES" ? "you may not read it" : "it is not there";
    return [`The token would be in ${tokenFile}, but ${why}. ${other}`, made];
  }
  return [`The token in ${tokenFile} is not valid there. ${other}`, made];
}
