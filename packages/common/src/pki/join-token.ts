import { createHash } from "node:crypto";
import { AppError } from "../errors/app-error.ts";

/** All that a new host needs to find its master, to know it before it sends anything, and to be let in once. It holds no key. */
export interface JoinToken {
  /** Where the master may be reached, as `host:port`, in the order in which to try. */
  readonly masters: readonly string[];
  /** SHA-256 of the DER of the certificate of the master's authority, as lower-case hex. */
  readonly caHash: string;
  readonly id: string;
  readonly secret: string;
}

const prefix = "dk1.";
const hashBytes = 32;
const checksumBytes = 4;
const maxLength = 4_096;

/** One word of letters, digits, ".", "-" and "_". A checksum tells a damaged copy from a refused token. */
export function formatJoinToken(token: JoinToken): string {
  const caHash = Buffer.from(token.caHash, "hex");
  if (caHash.length !== hashBytes || caHash.toString("hex") !== token.caHash)
    throw new Error("caHash is not a lower-case SHA-256");
  const body = Buffer.concat([caHash, Buffer.from(JSON.stringify([token.id, token.secret, ...token.masters]))]);
  return prefix + Buffer.concat([body, checksum(body)]).toString("base64url");
}

/**
 * Reads a token as it was pasted: white space, line breaks and quotes around it do not matter. Messages never repeat the
 * token.
 */
export function parseJoinToken(text: string): JoinToken {
  if (text.length > maxLength) throw invalid("it is longer than any token");
  const word = text.replaceAll(/[\s\u200b\ufeff"'`]/g, "");
  if (word === "") throw invalid("it is empty");
  if (!word.startsWith(prefix)) throw invalid(`it does not begin with "${prefix}"`);
  const encoded = word.slice(prefix.length);
  if (!/^[\w-]+$/.test(encoded)) throw invalid("it holds characters that no token has");
  const bytes = Buffer.from(encoded, "base64url");
  const body = bytes.subarray(0, -checksumBytes);
  if (body.length <= hashBytes || !bytes.subarray(-checksumBytes).equals(checksum(body)))
    throw invalid("a part of it is missing or was changed; copy it again as a whole");
  const [id, secret, ...masters] = readTexts(body.subarray(hashBytes));
  if (id === undefined || secret === undefined || masters.length === 0) throw invalid("it names no master");
  return { masters, caHash: body.toString("hex", 0, hashBytes), id, secret };
}

function readTexts(json: Buffer): string[] {
  let value: unknown;
  try {
    value = JSON.parse(json.toString("utf8"));
  } catch {
    throw invalid("it cannot be read");
  }
  if (!Array.isArray(value)) throw invalid("it cannot be read");
  return value.map((text: unknown) => {
    if (typeof text !== "string" || text === "") throw invalid("it cannot be read");
    return text;
  });
}

function checksum(body: Buffer): Buffer {
  return createHash("sha256").update(body).digest().subarray(0, checksumBytes);
}

function invalid(why: string): AppError {
  return new AppError("TOKEN_INVALID", `this is not a join token: ${why}`);
}
