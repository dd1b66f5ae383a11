/**
 * DER, as far as certificates and requests for them need it: a writer of elements, and a strict reader of the outer ones. What is not written exactly as
 * DER writes it is refused: lengths that are indefinite or longer than needed, and bytes that are left over.
 */

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[number]`, as a value or around other elements. */
export function contextTag(number: number, form: "primitive" | "constructed"): number {
  return 0x80 | (form === "constructed" ? 0x20 : 0) | number;
}

export function encode(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  return Buffer.concat([Buffer.from([tag]), encodeLength(length), ...contents]);
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

export function sequence(...contents: readonly Uint8Array[]): Buffer {
  return encode(tags.sequence, ...contents);
}

/** A number that is not negative, as big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const digits = bytes.subarray(start);
  return encode(tags.integer, ...((digits[0] ?? 0) >= 0x80 ? [Buffer.alloc(1)] : []), digits);
}

/** `2.5.29.17` */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return encode(tags.objectId, Buffer.from([first * 40 + second, ...rest.flatMap(toBase128)]));
}

function toBase128(arc: number): number[] {
  const digits = [arc % 128];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(0x80 | (rest % 128));
  return digits;
}

/** Whole bytes; `unusedBits` at the end of the last one do not count. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return encode(tags.bitString, Buffer.from([unusedBits]), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return encode(tags.octetString, bytes);
}

export const isTrue = encode(tags.boolean, Buffer.from([0xff]));

/** To the second. Certificates write years until 2049 with two digits, later ones with four. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  const year = date.getUTCFullYear();
  return year >= 1950 && year < 2050
    ? encode(tags.utcTime, Buffer.from(digits.slice(2)))
    : encode(tags.generalizedTime, Buffer.from(digits));
}

/** One element of what was read. */
export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content. */
  readonly whole: Buffer;
}

/** Every element of `bytes`, which hold nothing else. Throws when they are not DER. */
export function readElements(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const element = readElement(bytes, at);
    elements.push(element);
    at += element.whole.length;
  }
  return elements;
}

/** The elements within the only element of `bytes`, which has the tag. */
export function readWithin(bytes: Buffer, tag: number): Element[] {
  const [only, ...others] = readElements(bytes);
  if (only?.tag !== tag || others.length > 0) throw new Error(`not one element with the tag 0x${tag.toString(16)}`);
  return readElements(only.content);
}

function readElement(bytes: Buffer, start: number): Element {
  const byteAt = (at: number): number => {
    const byte = bytes[at];
    if (byte === undefined) throw new Error("it ends within an element");
    return byte;
  };
  const tag = byteAt(start);
  if ((tag & 0x1f) === 0x1f) throw new Error("a tag of several bytes");
  const first = byteAt(start + 1);
  const count = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || count > 3) throw new Error("a length that is indefinite or too long");
  let length = first;
  if (count > 0) {
    length = 0;
    for (let at = 0; at < count; at += 1) length = length * 256 + byteAt(start + 2 + at);
    if (length < 0x80 || length < 256 ** (count - 1)) throw new Error("a length that is longer than needed");
  }
  const from = start + 2 + count;
  if (from + length > bytes.length) throw new Error("it ends within an element");
  return { tag, content: bytes.subarray(from, from + length), whole: bytes.subarray(start, from + length) };
}
