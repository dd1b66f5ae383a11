import { promisify } from "node:util";
import { brotliDecompress, gunzip } from "node:zlib";
import type { DescMessage, JsonValue } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type ContextValues } from "@connectrpc/connect";
import { AppError } from "../../errors/app-error.ts";
import { atOnce, inSlices, type Sliced, turn } from "../../runtime/slices.ts";
import { toConnectError } from "../errors.ts";
import { decodeBinary, decodeJson } from "../large/decode.ts";
import { kDecoded } from "../large/decoded.ts";
import { measureBinary, measureJson } from "../large/measure.ts";
import { checkJson } from "./check-json.ts";

type Handler = ConnectRouter["handlers"][number];
type Request = Parameters<Handler>[0];
type Bytes = AsyncIterable<Uint8Array>;

export interface RequestLimits {
  readonly maxBytes: number;
  /** How many values a request of a method may hold, lists and fields counted; 20,000 unless it says otherwise. */
  readonly maxValues?: ((method: string) => number | undefined) | undefined;
}

const usualValues = 20_000;
/** What is larger is decoded in pieces. */
const pieceBytes = 32 << 10;

/**
 * Looks at the message of each call before it is decoded. JSON with unknown or duplicate fields is refused: the decoder would
 * ignore them, or name them without their place; by then the change that was not meant would be made. So is a message of more
 * values than its method can do with, in whatever form it comes. A large one is decoded here, in pieces between which others have
 * their turn.
 */
export function admitMessages(router: ConnectRouter, { maxBytes, maxValues }: RequestLimits): void {
  for (const [index, handler] of router.handlers.entries()) {
    const { method } = handler;
    const most = maxValues?.(`${method.parent.typeName}/${method.name}`) ?? usualValues;
    const isSingle = method.methodKind === "unary" || method.methodKind === "server_streaming";
    const strict = (request: Request) => handler(admit(request, { desc: method.input, maxBytes, most, isSingle }));
    router.handlers[index] = Object.assign(strict, handler);
  }
}

interface Admission {
  readonly desc: DescMessage;
  readonly maxBytes: number;
  readonly most: number;
  /** One message is the whole request. */
  readonly isSingle: boolean;
}

const contentType = /^application\/(?:(connect|grpc|grpc-web)\+(json|proto)|(grpc|grpc-web)|(json|proto))\b/i;

function admit(request: Request, admission: Admission): Request {
  if (request.method === "GET") return admitQuery(request, admission.desc);
  const kind = contentType.exec(request.header.get("content-type") ?? "");
  const { body } = request;
  if (kind === null || !isStream(body)) return request;
  const protocol = (kind[1] ?? kind[3])?.toLowerCase();
  const isJson = (kind[2] ?? kind[4])?.toLowerCase() === "json";
  const encoding = { connect: "connect-content-encoding", grpc: "grpc-encoding", "grpc-web": "grpc-encoding" };
  const name = protocol === undefined ? "content-encoding" : encoding[protocol as keyof typeof encoding];
  const { contextValues } = request;
  const read = { ...admission, isJson, contextValues, encoding: request.header.get(name) ?? "identity" };
  if (protocol !== undefined) return { ...request, body: checkFrames(body, read) };
  const header = new Headers(request.header);
  // The length is another one when the message is decoded here; one that says too much is refused unread.
  const isTooLong = Number(header.get("content-length") ?? 0) > read.maxBytes;
  if (read.encoding === "identity" && !isTooLong) header.delete("content-length");
  return { ...request, header, body: checkWhole(body, read) };
}

interface Reading extends Admission {
  readonly isJson: boolean;
  readonly encoding: string;
  readonly contextValues: ContextValues | undefined;
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
  if (await checkBytes(Buffer.concat(chunks), reading)) yield Buffer.from(reading.isJson ? "{}" : "");
  else yield* chunks;
}

const headBytes = 5;
const compressed = 0x01;

/** Messages with five bytes before each: flags and length. */
async function* checkFrames(body: Bytes, reading: Reading): Bytes {
  const chunks: Uint8Array[] = [];
  let size = 0;
  /** As many bytes as the next look needs: a message that comes byte by byte is put together once. */
  let needed = headBytes;
  let isTooLarge = false;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (!isTooLarge && size < needed) continue;
    let rest = Buffer.concat(chunks.splice(0));
    while (!isTooLarge && rest.length >= headBytes) {
      const [flags, length] = [rest.readUInt8(0), rest.readUInt32BE(1)];
      isTooLarge = length > reading.maxBytes;
      needed = headBytes + length;
      if (isTooLarge || rest.length < needed) break;
      const frame = rest.subarray(0, needed);
      rest = rest.subarray(needed);
      needed = headBytes;
      // Other flags are trailers of the protocol, not messages.
      const isMessage = (flags & ~compressed) === 0;
      const encoding = (flags & compressed) === 0 ? "identity" : reading.encoding;
      const isDecoded = isMessage && (await checkBytes(frame.subarray(headBytes), { ...reading, encoding }));
      yield isDecoded ? emptyFrame(reading.isJson) : frame;
    }
    if (isTooLarge) yield rest;
    else if (rest.length > 0) chunks.push(rest);
    size = isTooLarge ? 0 : rest.length;
  }
  if (size > 0) yield Buffer.concat(chunks);
}

function emptyFrame(isJson: boolean): Uint8Array {
  const message = Buffer.from(isJson ? "{}" : "");
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Whether the message was decoded, and lies in the context of the call. */
async function checkBytes(bytes: Uint8Array, reading: Reading): Promise<boolean> {
  const { desc, maxBytes, encoding, isJson, isSingle, contextValues } = reading;
  const plain = await unpack(bytes, encoding, maxBytes);
  if (plain === undefined) return false;
  // What is packed is decoded by the library, at once.
  const isPacked = plain !== bytes;
  const most = isPacked ? Math.min(reading.most, usualValues) : reading.most;
  const decode = await inSlices(isJson ? refuse(plain, desc, most) : measured(desc, plain, most));
  if (isPacked || !isSingle || contextValues === undefined || plain.length <= pieceBytes) return false;
  // Parsing JSON cannot be interrupted: it does not come on top of the last slice.
  await turn();
  try {
    contextValues.set(kDecoded, await inSlices(decode()));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConnectError(`cannot decode the request: ${why.slice(0, 500)}`, Code.InvalidArgument);
  }
  return true;
}

function* measured(desc: DescMessage, bytes: Uint8Array, most: number): Sliced<Decode> {
  yield* asConnectErrors(measureBinary(desc, bytes, most));
  return () => decodeBinary(desc, bytes);
}

type Decode = () => ReturnType<typeof decodeBinary>;

function* asConnectErrors(work: Sliced<void>): Sliced<void> {
  try {
    yield* work;
  } catch (error) {
    throw error instanceof AppError ? toConnectError(error) : error;
  }
}

/** Undefined for what the decoder will refuse. */
async function unpack(bytes: Uint8Array, encoding: string, maxOutputLength: number): Promise<Uint8Array | undefined> {
  if (encoding === "identity" || encoding === "" || bytes.byteLength === 0) return bytes;
  const decompress = encoding === "gzip" ? promisify(gunzip) : encoding === "br" ? promisify(brotliDecompress) : undefined;
  return decompress?.(bytes, { maxOutputLength }).catch(() => undefined);
}

function* refuse(bytes: Uint8Array, desc: DescMessage, most: number): Sliced<Decode> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw toConnectError(new AppError("REQUEST_INVALID", "the request is not UTF-8 text"));
  }
  yield* asConnectErrors(measureJson(text, most));
  const violations = yield* checkJson(text, desc);
  if (violations.length === 0) return () => decodeJson(desc, JSON.parse(text) as JsonValue);
  const message = violations.map(({ description }) => description).join("; ");
  throw toConnectError(new AppError("REQUEST_INVALID", message.slice(0, 2_000), { violations }));
}

/** A call by GET has its message in the address; one that is to be refused goes on as the POST that it stands for. */
function admitQuery(request: Request, desc: DescMessage): Request {
  const query = new URL(request.url).searchParams;
  const message = query.get("message") ?? "";
  if (query.get("encoding") !== "json" || (query.get("compression") ?? "identity") !== "identity") return request;
  try {
    // An address is short.
    atOnce(refuse(query.get("base64") === "1" ? Buffer.from(message, "base64url") : Buffer.from(message), desc, usualValues));
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
