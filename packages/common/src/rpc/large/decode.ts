import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  mergeFromBinary,
} from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Sliced } from "../../runtime/slices.ts";
import { fieldByNumber, messageOf } from "./measure.ts";

/** A piece that is decoded at once. */
const pieceBytes = 8_192;
const pieceItems = 20;

/** Whether a field's messages may be decoded one by one; those of google.protobuf have a form of their own. */
function isPlain(field: DescField | undefined): field is DescField & { readonly message: DescMessage } {
  const message = messageOf(field);
  return message !== undefined && !message.typeName.startsWith("google.protobuf.");
}

function put(target: Message, field: DescField, value: Message | readonly Message[]): void {
  if (field.oneof === undefined) Reflect.set(target, field.localName, value);
  else Reflect.set(target, field.oneof.localName, { case: field.localName, value });
}

/** The same message as the decoder makes of it, in pieces. */
export function* decodeBinary(desc: DescMessage, bytes: Uint8Array): Sliced<Message> {
  if (bytes.length <= pieceBytes) return fromBinary(desc, bytes);
  const made = create(desc);
  const reader = new BinaryReader(bytes);
  let begun = 0;
  const mergeUpTo = (end: number) => {
    if (end > begun) mergeFromBinary(desc, made, bytes.subarray(begun, end));
    begun = reader.pos;
  };
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wire] = reader.tag();
    const field = fieldByNumber(desc, number);
    if (wire !== WireType.LengthDelimited) reader.skip(wire, number);
    else {
      const inner = reader.bytes();
      const isFirst = field !== undefined && (field.fieldKind === "list" || Reflect.get(made, field.localName) === undefined);
      if (isPlain(field) && isFirst && field.oneof === undefined && inner.length > pieceBytes) {
        mergeUpTo(start);
        const value = yield* decodeBinary(field.message, inner);
        if (field.fieldKind === "list") (Reflect.get(made, field.localName) as Message[]).push(value);
        else put(made, field, value);
        begun = reader.pos;
      }
    }
    if (reader.pos - begun < pieceBytes) continue;
    mergeUpTo(reader.pos);
    yield;
  }
  mergeUpTo(reader.pos);
  return made;
}

/** The same for a value of JSON. */
export function* decodeJson(desc: DescMessage, value: JsonValue): Sliced<Message> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fromJson(desc, value);
  const rest: JsonObject = { ...value };
  const later: [DescField & { readonly message: DescMessage }, JsonValue][] = [];
  for (const field of desc.fields) {
    const key = [field.jsonName, field.name].find((name) => Object.hasOwn(rest, name));
    const inner = key === undefined ? undefined : rest[key];
    if (key === undefined || !isPlain(field) || typeof inner !== "object" || inner === null) continue;
    if (field.fieldKind === "list" ? !Array.isArray(inner) || inner.length <= pieceItems : Array.isArray(inner)) continue;
    delete rest[key];
    later.push([field, inner]);
  }
  const made = fromJson(desc, rest);
  yield;
  for (const [field, inner] of later) {
    if (!Array.isArray(inner)) {
      put(made, field, yield* decodeJson(field.message, inner));
      continue;
    }
    const items: Message[] = [];
    for (const item of inner) items.push(yield* decodeJson(field.message, item));
    put(made, field, items);
  }
  return made;
}
