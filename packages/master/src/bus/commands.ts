import { setTimeout as delay } from "node:timers/promises";
import { createLineLimit } from "@decnet/common/logging/line-limit";
import type { Logger } from "@decnet/common/logging/logger";
import { backoffMs } from "@decnet/common/runtime/backoff";
import type { Caller } from "../model/access.ts";
import type { TokenStore } from "../store/tokens.ts";
import { type Explained, explain } from "./explain.ts";
import { type ReceivedMessage, receiveCommands } from "./kafka-commands.ts";
import { type Command, CommandRefused, freshMs, readCommand, verifyCommand } from "./read-command.ts";
import type { BusConfig } from "./settings.ts";

/** What became of a command that was carried out, as far as that is known at once. */
export type Outcome =
  | { readonly kind: "accepted" }
  /** It can never be done as it stands. */
  | { readonly kind: "refused"; readonly reason: string; readonly message: string }
  /** Not now. */
  | { readonly kind: "later"; readonly reason: string; readonly message: string };

/** Does what a command asks for, as a call of this caller would: with the same checks, and the same record. */
export type CarryOut = (command: Command, caller: Caller, place: string) => Promise<Outcome>;

export interface CommandsOptions {
  readonly config: BusConfig;
  readonly tokens: Pick<TokenStore, "findSigner">;
  readonly carryOut: CarryOut;
  readonly log: Logger;
  /** `accepted`, or the reason of a refusal. */
  readonly onCommand: (result: string) => void;
  /** What keeps commands from being read; undefined: nothing does. */
  readonly onTrouble: (why: Explained | undefined) => void;
}

const backoff = { baseMs: 250, maxMs: 5_000 };

/**
 * Takes commands from the bus until aborted. Each one is remembered as read after its change was stored, or after it went where
 * dead letters go: a crash in between repeats it, and its id makes that the same change. Nothing that is in a message holds up
 * the next one.
 */
export async function takeCommands(options: CommandsOptions, signal: AbortSignal): Promise<void> {
  const { config, log, onCommand, onTrouble } = options;
  const takeLine = createLineLimit();
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      await receiveCommands(config, log, signal, {
        onReady() {
          failures = 0;
          onTrouble(undefined);
        },
        async take(message, alive) {
          const refusal = await handle(options, message, alive, signal);
          onCommand(refusal?.reason ?? "accepted");
          // Each of them is a dead letter, with its reason.
          const unsaid = refusal === undefined ? undefined : takeLine(refusal.reason);
          if (refusal !== undefined && unsaid !== undefined)
            log.warn("a command from the bus is not carried out", {
              at: message.place,
              why: refusal.reason,
              said: refusal.message,
              ...(unsaid === 0 ? {} : { unsaid }),
            });
          return refusal;
        },
      });
    } catch (error) {
      if (signal.aborted) return;
      const why = explain(error);
      onTrouble(why);
      log.warn("commands wait: the bus does not give them", { why: why.cause, next: why.next });
      await delay(backoffMs(failures, backoff, Math.random), undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Undefined: it was accepted. Throws only when the master stops. */
async function handle(
  { tokens, carryOut, log }: CommandsOptions,
  message: ReceivedMessage,
  alive: () => Promise<void>,
  signal: AbortSignal,
): Promise<CommandRefused | undefined> {
  const began = Date.now();
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    const outcome = await attempt(message, tokens, carryOut).catch((error: unknown): Outcome => {
      if (error instanceof CommandRefused) return { kind: "refused", reason: error.reason, message: error.message };
      const why = explain(error);
      if (why.kind === "storage") return { kind: "later", reason: "STORAGE_UNAVAILABLE", message: why.cause };
      log.error("a command from the bus could not be handled", { at: message.place, err: error });
      return { kind: "refused", reason: "INTERNAL", message: "a defect of the master; its log has it" };
    });
    if (outcome.kind === "accepted") return undefined;
    if (outcome.kind === "refused") return new CommandRefused(outcome.reason, outcome.message);
    // One that waits for so long is too old then.
    if (Date.now() - began > freshMs) return new CommandRefused(outcome.reason, outcome.message);
    await alive();
    await delay(backoffMs(failures, backoff, Math.random), undefined, { signal });
  }
}

async function attempt(message: ReceivedMessage, tokens: CommandsOptions["tokens"], carryOut: CarryOut): Promise<Outcome> {
  const command = readCommand(message);
  const signer = await tokens.findSigner(command.tokenId);
  verifyCommand(message, command, signer?.key, Date.now());
  if (signer === undefined) throw new CommandRefused("UNAUTHENTICATED", "the token is unknown");
  return carryOut(command, signer.caller, message.place);
}
