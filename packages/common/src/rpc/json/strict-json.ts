import { promisify } from "node:util";
import { brotliDecompress, gunzip } from "node:zlib";
import type { DescMessage } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { AppError } from "../../errors/app-error.ts";
import { toConnectError } from "../errors.ts";
import { checkJson } from "./check-json.ts";

type Handler = ConnectRouter["handlers"][number];
type Request = Parameters<Handler>[0];
type Bytes = AsyncIterable<Uint8Array>;

/**
 * Refuses JSON with unknown or duplicate fields, on every call of the router. The decoder would ignore them, or name them without
 * their place; by then the change that was not meant would be made.
 */
export function refuseUnknownJson(router: ConnectRouter, maxBytes: number): void {
  for (const [index, handler] of router.handlers.entries()) {
    const strict = (request: Request) => handler(admit(request, handler.method.input, maxBytes));
    router.handlers[index] = Object.assign(strict, handler);
  }
}

function admit(request: Request, desc: DescMessage, maxBytes: number): Request {
  if (request.method === "GET") return admitQuery(request, desc);
  const kind = /^application\/(?:(connect|grpc|grpc-web)\+)?json\b/i.exec(request.header.get("content-type") ?? "");
  const { body } = request;
  if (kind === null || !isStream(body)) return request;
  const protocol = kind[1]?.toLowerCase();
  const encoding = { connect: "connect-content-encoding", grpc: "grpc-encoding", "grpc-web": "grpc-encoding" };
  const name = protocol === undefined ? "content-encoding" : encoding[protocol as keyof typeof encoding];
  const read = { desc, maxBytes, encoding: request.header.get(name) ?? "identity" };
  return { ...request, body: protocol === undefined ? checkWhole(body, read) : checkFrames(body, read) };
}

interface Reading {
  readonly desc: DescMessage;
  readonly maxBytes: number;
  readonly encoding: string;
}

/** One message that is the whole body. What is too large goes on unread: the decoder refuses it. */
async function* checkWhole(body: Bytes, reading: Reading): Bytes {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size <= reading.maxBytes) chunks.push(chunk);
    else {
      yield* chunks.splice(0);
      yield chunk;
    }
  }
  if (size > reading.maxBytes) return;
  await checkBytes(Buffer.concat(chunks), reading);
  yield* chunks;
}

const headBytes = 5;
const compressed = 0x01;

/** Messages with five bytes before each: flags and length. */
async function* checkFrames(body: Bytes, reading: Reading): Bytes {
  let rest = Buffer.alloc(0);
  let isTooLarge = false;
  for await (const chunk of body) {
    rest = Buffer.concat([rest, chunk]);
    while (!isTooLarge && rest.length >= headBytes) {
      const [flags, length] = [rest.readUInt8(0), rest.readUInt32BE(1)];
      isTooLarge = length > reading.maxBytes;
      if (isTooLarge || rest.length < headBytes + length) break;
      const frame = rest.subarray(0, headBytes + length);
      rest = rest.subarray(headBytes + length);
      // Other flags are trailers of the protocol, not messages.
      const isMessage = (flags & ~compressed) === 0;
      const encoding = (flags & compressed) === 0 ? "identity" : reading.encoding;
      if (isMessage) await checkBytes(frame.subarray(headBytes), { ...reading, encoding });
      yield frame;
    }
    if (isTooLarge) yield rest.subarray(0);
    if (isTooLarge) rest = Buffer.alloc(0);
  }
  if (rest.length > 0) yield rest;
}

async function checkBytes(bytes: Uint8Array, { desc, maxBytes, encoding }: Reading): Promise<void> {
  const plain = await unpack(bytes, encoding, maxBytes);
  if (plain !== undefined) refuse(plain, desc);
}

/** Undefined for what the decoder will refuse. */
async function unpack(bytes: Uint8Array, encoding: string, maxOutputLength: number): Promise<Uint8Array | undefined> {
  if (encoding === "identity" || encoding === "" || bytes.byteLength === 0) return bytes;
  const decompress = encoding === "gzip" ? promisify(gunzip) : encoding === "br" ? promisify(brotliDecompress) : undefined;
  return decompress?.(bytes, { maxOutputLength }).catch(() => undefined);
}

function refuse(bytes: Uint8Array, desc: DescMessage): void {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw toConnectError(new AppError("REQUEST_INVALID", "the request is not UTF-8 text"));
  }
  const violations = checkJson(text, desc);
  if (violations.length === 0) return;
  const message = violations.map(({ description }) => description).join("; ");
  throw toConnectError(new AppError("REQUEST_INVALID", message.slice(0, 2_000), { violations }));
}

/** A call by GET has its message in the address; one that is to be refused goes on as the POST that it stands for. */
function admitQuery(request: Request, desc: DescMessage): Request {
  const query = new URL(request.url).searchParams;
  const message = query.get("message") ?? "";
  if (query.get("encoding") !== "json" || (query.get("compression") ?? "identity") !== "identity") return request;
  try {
    refuse(query.get("base64") === "1" ? Buffer.from(message, "base64url") : Buffer.from(message), desc);
    return request;
  } catch (error) {
    const header = new Headers(request.header);
    header.set("content-type", "application/json");
    return { ...request, method: "POST", header, body: failing(error) };
  }
}

/** A body that fails before its first byte. */
function failing(error: unknown): Bytes {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) };
}

function isStream(body: unknown): body is Bytes {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}
