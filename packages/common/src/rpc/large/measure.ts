import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { AppError } from "../../errors/app-error.ts";
import type { Sliced } from "../../runtime/slices.ts";

/** As deep as the decoders go. */
const deepest = 100;
/** Values that are looked at before somebody else may have his turn. */
const eachTurn = 2_000;

function tooMany(most: number): AppError {
  return new AppError("REQUEST_TOO_LARGE", `a request of this kind has at most ${most} values`);
}

/** Settings, labels and fields have names; nothing has so many. */
const mostMembers = 2_000;

function tooWide(): AppError {
  return new AppError("REQUEST_TOO_LARGE", `an object in a request has at most ${mostMembers} members`);
}

function tooDeep(): AppError {
  return new AppError("REQUEST_INVALID", `the request is nested more than ${deepest} levels deep`);
}

const quote = 34;
const comma = 44;
const opensList = 91;
const backslash = 92;
const closesList = 93;
const opensObject = 123;
const closesObject = 125;

/** Throws for a JSON text with more values, or nested deeper, than a request may be; whatever else it is. Looks at it once. */
export function* measureJson(text: string, most: number): Sliced<void> {
  let values = 1;
  let sinceTurn = 0;
  /** How many members each open object has so far; of a list they are not counted. */
  const open: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === quote) at = endOfString(text, at);
    else if (code === opensList || code === opensObject) {
      values += 1;
      open.push(code === opensList ? Number.NEGATIVE_INFINITY : 1);
      if (open.length > deepest) throw tooDeep();
    } else if (code === closesList || code === closesObject) open.pop();
    else if (code === comma) {
      values += 1;
      const members = (open.at(-1) ?? 0) + 1;
      open[open.length - 1] = members;
      if (members > mostMembers) throw tooWide();
    }
    if (values > most) throw tooMany(most);
    sinceTurn += 1;
    if (sinceTurn < eachTurn) continue;
    sinceTurn = 0;
    yield;
  }
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === quote) return at;
    if (code === backslash) at += 1;
  }
  return text.length;
}

const fieldsOf = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>();

export function fieldByNumber(desc: DescMessage, number: number): DescField | undefined {
  const known = fieldsOf.get(desc) ?? new Map(desc.fields.map((field) => [field.number, field]));
  fieldsOf.set(desc, known);
  return known.get(number);
}

/** The message that a field's bytes hold; of a map, the one of its values, whose entries are counted as one. */
export function messageOf(field: DescField | undefined): DescMessage | undefined {
  return field?.fieldKind === "map" ? undefined : field?.message;
}

/** The same for a message in binary. What is no message at all is for the decoder to say. */
export function* measureBinary(desc: DescMessage, bytes: Uint8Array, most: number): Sliced<void> {
  const count = { values: 0 };
  try {
    yield* walk(desc, bytes, most, count, 0);
  } catch (error) {
    if (error instanceof AppError) throw error;
  }
}

function* walk(desc: DescMessage, bytes: Uint8Array, most: number, count: { values: number }, depth: number): Sliced<void> {
  if (depth > deepest) throw tooDeep();
  let members = 0;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    count.values += 1;
    if (count.values > most) throw tooMany(most);
    if (count.values % eachTurn === 0) yield;
    const field = fieldByNumber(desc, number);
    if (wire !== WireType.LengthDelimited) {
      reader.skip(wire, number);
      continue;
    }
    const inner = reader.bytes();
    members += field?.fieldKind === "map" ? 1 : 0;
    if (members > mostMembers) throw tooWide();
    const message = field?.fieldKind === "map" ? field.message : messageOf(field);
    if (message !== undefined)
      yield* walk(field?.fieldKind === "map" ? entryOf(message) : message, inner, most, count, depth + 1);
    // Packed numbers take a byte each at least.
    else if (field?.fieldKind === "list" && field.listKind !== "message" && field.scalar !== undefined && !isText(field))
      count.values += inner.length;
  }
}

/** An entry of a map is a message whose second field is the value. */
function entryOf(value: DescMessage): DescMessage {
  const known = entries.get(value);
  if (known !== undefined) return known;
  const field = { number: 2, fieldKind: "message", message: value } as DescField;
  const made = { fields: [field] } as unknown as DescMessage;
  entries.set(value, made);
  return made;
}

const entries = new WeakMap<DescMessage, DescMessage>();

function isText({ scalar }: DescField): boolean {
  return scalar === 9 || scalar === 12;
}
