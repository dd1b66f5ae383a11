import { createHmac, timingSafeEqual } from "node:crypto";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { checkJson } from "@decnet/common/rpc/json/check-json";
import { atOnce } from "@decnet/common/runtime/slices";
import { eventTypeOf, versionOf } from "@decnet/contract/bus";
import { type DeckyMutateRequest, DeckyMutateRequestSchema } from "@decnet/contract/gen/decnet/v1/bus_pb";

/** A message as somebody sent it. */
export interface CommandMessage {
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Buffer | null;
}

/** What it asks for, by whom it says it is. */
export interface Command {
  /** The request's id as well: the same command again is the same change. */
  readonly id: string;
  readonly time: Date;
  readonly tokenId: string;
  readonly request: DeckyMutateRequest;
}

/** Why a command is not carried out; it goes where dead letters go. */
export class CommandRefused extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

const mostBytes = 65_536;
const idPattern = /^[\w.:/+=@-]{1,128}$/;
const tokenPattern = /^tk-[0-9a-f]{1,64}$/;
const signaturePattern = /^[0-9a-f]{64}$/;
/** With its offset: whoever signs says a moment, not a time of day. */
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const type = "decky.*.mutate_request";

/** Commands are done within this time of their own, or not at all: nobody is surprised, and nothing can be replayed later. */
export const freshMs = 3_600_000;
const aheadMs = 300_000;

/** Reads a message, whoever sent it. Nothing is looked up. Throws CommandRefused. */
export function readCommand({ headers, value }: CommandMessage): Command {
  if (value === null || value.length === 0) throw invalid("there is nothing in it");
  if (value.length > mostBytes) throw invalid(`it has ${value.length} bytes, and ${mostBytes} are allowed`);
  const { ce_id: id = "", ce_time: time = "", ce_specversion: version } = headers;
  if (version !== "1.0") throw invalid("it is no CloudEvent 1.0 in binary mode: ce_specversion");
  const known = eventTypeOf(type, versionOf(type));
  if (headers["ce_type"] !== known) throw invalid(`ce_type is not ${known}`);
  if (!idPattern.test(id)) throw invalid("ce_id: 1 to 128 letters, digits and . : / + = @ _ -");
  const at = new Date(timePattern.test(time) ? time : Number.NaN);
  if (Number.isNaN(at.getTime())) throw invalid("ce_time is no RFC 3339 time");
  const tokenId = headers["decnet-token"] ?? "";
  if (!tokenPattern.test(tokenId)) throw new CommandRefused("UNAUTHENTICATED", "decnet-token is no id of a token");
  return { id, time: at, tokenId, request: parse(value) };
}

function parse(value: Buffer): DeckyMutateRequest {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(value);
    const [wrong] = atOnce(checkJson(text, DeckyMutateRequestSchema));
    if (wrong !== undefined) throw invalid(wrong.description);
    return fromJson(DeckyMutateRequestSchema, JSON.parse(text) as JsonValue);
  } catch (error) {
    if (error instanceof CommandRefused) throw error;
    throw invalid(error instanceof RangeError ? "it is nested too deeply" : `it cannot be read: ${String(error).slice(0, 300)}`);
  }
}

function invalid(message: string): CommandRefused {
  return new CommandRefused("REQUEST_INVALID", message);
}

/** What is signed: its id, its time, its type, and what is in it. */
export function signatureOf({ headers, value }: CommandMessage, key: string): string {
  const { ce_id: id = "", ce_time: time = "", ce_type: kind = "" } = headers;
  return createHmac("sha256", Buffer.from(key, "hex"))
    .update(`${id}\n${time}\n${kind}\n`)
    .update(value ?? "")
    .digest("hex");
}

/** Throws CommandRefused unless the message was signed with the key of the token that it names, a short time ago. */
export function verifyCommand(message: CommandMessage, { time }: Command, key: string | undefined, now: number): void {
  const given = message.headers["decnet-signature"] ?? "";
  // Whether the token or the signature is wrong is nobody's business.
  const isSigned = key !== undefined && signaturePattern.test(given);
  if (!isSigned || !timingSafeEqual(Buffer.from(given, "hex"), Buffer.from(signatureOf(message, key), "hex")))
    throw new CommandRefused("UNAUTHENTICATED", "the token is unknown, expired or revoked, or the signature is not its own");
  if (now - time.getTime() > freshMs) throw new CommandRefused("TOO_OLD", `it is older than ${freshMs / 60_000} minutes`);
  if (time.getTime() - now > aheadMs) throw new CommandRefused("TOO_OLD", "its time is in the future");
}
