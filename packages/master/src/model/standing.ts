import { type Decky, isBehind, isStuckLeaving, isUnapplied, labelOf } from "./decky.ts";
import { type DeckyStanding, standingExits } from "./exits.ts";

export function standingOf(decky: Decky): DeckyStanding {
  if (isBehind(decky) && !decky.leaving) return "behind";
  if (decky.state === "changing") return "settled";
  if (decky.repairPaused) return "kept";
  if (isStuckLeaving(decky)) return "teardown_failed";
  if (decky.retryAt !== null && isUnapplied(decky)) return "unapplied";
  if (decky.retryAt !== null && decky.state !== "running") return "pausing";
  return decky.pendingRemovals.length > 0 && decky.renderedRevision > 0 ? "elsewhere" : "settled";
}

/** What the master knows of its hosts, for what it says of deckies. */
export interface Surroundings {
  isReachable(host: string): boolean;
  /** How the last removal from a host that the decky left has failed. */
  removalTrouble(host: string): { readonly message: string; readonly until: Date } | undefined;
}

/** The message of a decky as it is shown: what was seen, why it is still so, and what ends it. Pure. */
export function messageOf(decky: Decky, around: Surroundings): string {
  const { message, retryCause } = decky;
  const cause = message.includes(retryCause) ? "" : `the last try failed: ${retryCause}`;
  const standing = standingOf(decky);
  const isTried = standing === "teardown_failed" || standing === "unapplied" || standing === "pausing";
  return [message, isTried ? cause : "", sentences[standing](decky, around)].filter((part) => part !== "").join("; ");
}

type Sentence = (decky: Decky, around: Surroundings) => string;

const sentences: Readonly<Record<DeckyStanding, Sentence>> = {
  settled: () => "",
  behind: () =>
    "a master that starts with DECNET_WHEN_BEHIND=adopt takes over what its host has, with =overwrite it applies what it knows",
  teardown_failed: (decky, around) =>
    `its teardown is tried again ${whenAgain(decky, around)}: ${commandOf("teardown_failed", decky)} does it now, ` +
    `${commandOf("kept", decky)} wants it back`,
  unapplied: (decky, around) =>
    `revision ${decky.desiredRevision} is tried again ${whenAgain(decky, around)}: ${commandOf("unapplied", decky)} does it now`,
  pausing: (decky, around) =>
    `was repaired ${decky.failures === 1 ? "once" : `${decky.failures} times`} lately, and may be again ` +
    `${whenAgain(decky, around)}: ${commandOf("pausing", decky)} does it now`,
  kept: (decky) =>
    decky.leaving
      ? `a failed teardown is kept: ${commandOf("teardown_failed", decky)} tries it again, ` +
        `${commandOf("kept", decky)} wants it back`
      : `a failed change is kept and nothing is repaired: ${commandOf("kept", decky)} tries it again, ${takesBack(decky)}`,
  // One that is here is at it, unless it failed.
  elsewhere: (decky, around) => decky.pendingRemovals.flatMap((host) => whyElsewhere(host, decky, around)).join("; "),
};

function takesBack(decky: Decky): string {
  return decky.appliedRevision === 0
    ? `${commandOf("teardown_failed", decky)} removes it`
    : `${commandOf("kept", decky, decky.appliedRevision)} takes it back`;
}

/** The command of the table of exits, as it is typed for this decky. */
function commandOf(
  standing: DeckyStanding,
  { scope, name, host, desiredRevision }: Pick<Decky, "scope" | "name" | "host" | "desiredRevision">,
  revision = desiredRevision,
): string {
  const exit = standingExits[standing];
  const command = exit.kind === "exits" ? exit.command : "";
  return `decnet ${command}`.replace("NAME", labelOf({ scope, name })).replace("REVISION", `r${revision}`).replace("HOST", host);
}

function whenAgain({ host, retryAt }: Decky, { isReachable }: Surroundings): string {
  if (!isReachable(host)) return `when host ${host} is back`;
  return retryAt === null ? "now" : `at ${retryAt.toISOString()}`;
}

function whyElsewhere(host: string, decky: Decky, { isReachable, removalTrouble }: Surroundings): string[] {
  const trouble = removalTrouble(host);
  const is = `still has to be removed from ${host}`;
  const command = commandOf("elsewhere", { ...decky, host });
  if (!isReachable(host)) return [`${is}, which is away: it is done when that is back, or ${command} forgets it`];
  return trouble === undefined ? [] : [`${is}: ${trouble.message}; tried again at ${trouble.until.toISOString()}`];
}
