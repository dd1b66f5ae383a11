import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { create, type MessageShape, ScalarType } from "@bufbuild/protobuf";

/** Random numbers that are the same in every run with the same seed: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Texts that have broken something somewhere. */
const nastyTexts = [
  "",
  "\u0000",
  "a\u0000b",
  "\u001b[2J\u001b]0;owned\u0007",
  "\u009b31m",
  "\u202eevil\u202c",
  "\u2066x\u2069",
  "\ud800",
  "\udfff\ud800",
  "\ufffe\uffff",
  "\u2028\u2029\u0085",
  "\r\nerror: forged\n✔ done",
  "\u061c\u200f",
  "\ufeff",
  "'; DROP TABLE hosts; --",
  "$(reboot)`id`",
  '{"a":"\\u0000"}',
  "\\u0000",
  "../../etc/passwd",
  "%s%n%%",
  "__proto__",
  "constructor",
  "🍯".repeat(700),
  "x".repeat(5_000),
  "n\n".repeat(3_000),
  "2025-01-01T00:00:00Z",
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59Z",
  "+275760-09-13T00:00:00.000Z",
  "NaN",
];
const nastyInts = [0, 1, 2, 77, 65_536, 2_147_483_647, 2_147_483_648, 4_294_967_295];
const nastyLongs = [0n, 1n, 2n ** 31n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
const nastySeconds = [0n, -1n, 1_700_000_000n, 253_402_300_799n, 253_402_300_800n, 2n ** 63n - 1n, -(2n ** 63n)];
const nastyNanos = [0, 5, 999_999_999, 1_000_000_000, -1, 2_147_483_647];
const deepest = 5;

/**
 * A message of this kind: any of its fields may be set, to anything that the wire can carry; or to anything that no range, no
 * enum and no calendar forbids.
 */
export function randomMessage<Desc extends DescMessage>(
  desc: Desc,
  random: () => number,
  kind: "any" | "in range" = "any",
  depth = 0,
): MessageShape<Desc> {
  const message = create(desc);
  const isLegal = kind === "in range";
  if (desc.typeName === "google.protobuf.Timestamp") {
    Reflect.set(message, "seconds", pick(isLegal ? nastySeconds.slice(2, 4) : nastySeconds, random));
    Reflect.set(message, "nanos", pick(isLegal ? nastyNanos.slice(0, 3) : nastyNanos, random));
    return message;
  }
  for (const field of desc.fields) {
    if (random() < 0.2) continue;
    if (field.message !== undefined && depth >= deepest) continue;
    if (field.oneof === undefined) Reflect.set(message, field.localName, randomField(field, random, kind, depth));
    else if (random() < 0.5 || !isChosen(Reflect.get(message, field.oneof.localName)))
      Reflect.set(message, field.oneof.localName, { case: field.localName, value: randomField(field, random, kind, depth) });
  }
  return message;
}

function isChosen(group: unknown): boolean {
  return typeof group === "object" && group !== null && Reflect.get(group, "case") !== undefined;
}

function randomField(field: DescField, random: () => number, kind: "any" | "in range", depth: number): unknown {
  // Few lists are long, so that fifty thousand messages stay cheap.
  const long = random() < 0.002 ? 400 : 3;
  const count = depth > 2 ? Math.min(long, 2) : long;
  if (field.fieldKind === "list")
    return Array.from({ length: Math.floor(random() * (count + 1)) }, () => randomValue(field, random, kind, depth));
  if (field.fieldKind === "map") return { [pick(nastyTexts, random)]: randomValue(field, random, kind, depth) };
  return randomValue(field, random, kind, depth);
}

function randomValue(field: DescField, random: () => number, kind: "any" | "in range", depth: number): unknown {
  if (field.message !== undefined) return randomMessage(field.message, random, kind, depth + 1);
  const isLegal = kind === "in range";
  if (field.enum !== undefined) return isLegal ? pick(field.enum.values, random).number : Math.floor(random() * 14);
  switch (field.scalar) {
    case ScalarType.STRING:
      return random() < 0.3 ? `${pick(nastyTexts, random)}${pick(nastyTexts, random)}` : pick(nastyTexts, random);
    case ScalarType.BOOL:
      return random() < 0.5;
    case ScalarType.UINT64:
    case ScalarType.INT64:
      return pick(isLegal ? nastyLongs.slice(0, 6) : nastyLongs, random);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return pick([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e308], random);
    default:
      return pick(isLegal ? nastyInts.slice(0, 6) : nastyInts, random);
  }
}

function pick<T>(from: readonly T[], random: () => number): T {
  return from[Math.floor(random() * from.length)] as T;
}

const unprintable =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|\p{Surrogate}/u;
const mostCharacters = 17_000;
const mostItems = 10_000;

/** What of a value a page, a terminal or a database chokes on; with the path to it. Empty when nothing is. */
export function chokesOn(value: unknown, now: number, path = "", depth = 0): string[] {
  if (typeof value === "string") {
    const found: string[] = [];
    if (unprintable.test(value)) found.push(`${path}: unprintable ${JSON.stringify(value.slice(0, 40))}`);
    if (value.length > mostCharacters) found.push(`${path}: ${value.length} characters`);
    return found;
  }
  if (typeof value === "number") return Number.isFinite(value) && Math.abs(value) < 2 ** 53 ? [] : [`${path}: ${value}`];
  if (typeof value === "bigint") return value <= 2n ** 63n - 1n && value >= -(2n ** 63n) ? [] : [`${path}: ${value}`];
  if (value instanceof Date)
    return value.getTime() <= now + 6 * 60_000 && value.getTime() >= 0 ? [] : [`${path}: ${String(value.getTime())}`];
  if (typeof value !== "object" || value === null) return [];
  if (depth > 20) return [`${path}: is too deep`];
  if (Array.isArray(value) && value.length > mostItems) return [`${path}: ${value.length} items`];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(unprintable.test(key) ? [`${path}: the key ${JSON.stringify(key)}`] : []),
    ...chokesOn(inner, now, `${path}.${key}`, depth + 1),
  ]);
}
