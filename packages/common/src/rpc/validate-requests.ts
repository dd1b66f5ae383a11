import { type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { AppError, type FieldViolation } from "../errors/app-error.ts";
import { atOnce, inSlices, type Sliced } from "../runtime/slices.ts";
import { rangeOf } from "./range-of.ts";

const mostCharacters = 4_096;
const mostViolations = 20;
const mostSeconds = { "google.protobuf.Timestamp": 253_402_300_799n, "google.protobuf.Duration": 315_576_000_000n } as const;
const leastSeconds = { "google.protobuf.Timestamp": -62_135_596_800n, "google.protobuf.Duration": -315_576_000_000n } as const;
const unpaired = /\p{Surrogate}/u;

export interface ValidationOptions {
  /** Whether texts of this method are refused; those of our own programs are cleaned instead. By default they are. */
  readonly refusesTexts?: (method: string) => boolean;
}

/**
 * Refuses with REQUEST_INVALID what no handler can make anything of: numbers outside the range that the contract gives them,
 * values that an enum does not have, times that no calendar has, numbers that are none, and texts that no database stores.
 */
export function createValidationInterceptor({ refusesTexts = () => true }: ValidationOptions = {}): Interceptor {
  return (next) => async (request) => {
    const { input, parent, name } = request.method;
    const isStrict = refusesTexts(`${parent.typeName}/${name}`);
    const check = async (message: Message) => throwIfAny(await inSlices(lookForViolations(input, message, isStrict)));
    if (request.stream) return next({ ...request, message: checked(request.message, check) });
    await check(request.message);
    return next(request);
  };
}

async function* checked<T extends Message>(messages: AsyncIterable<T>, check: (message: T) => Promise<void>): AsyncGenerator<T> {
  for await (const message of messages) {
    await check(message);
    yield message;
  }
}

function throwIfAny(violations: readonly FieldViolation[]): void {
  if (violations.length === 0) return;
  throw new AppError("REQUEST_INVALID", violations.map(({ field, description }) => `${field}: ${description}`).join("; "), {
    violations,
  });
}

/** The first ones, with the path of each field as it is in the contract: `fleet.deckies[2].count`. */
export function findViolations(desc: DescMessage, message: Message, withTexts = true): FieldViolation[] {
  return atOnce(lookForViolations(desc, message, withTexts));
}

function* lookForViolations(desc: DescMessage, message: Message, withTexts: boolean): Sliced<FieldViolation[]> {
  const found: FieldViolation[] = [];
  const add = (field: string, description: string | undefined) => {
    if (description !== undefined && found.length < mostViolations) found.push({ field: shown(field), description });
  };
  const checkJson = (path: string, value: unknown): void => {
    if (typeof value === "string" && withTexts) add(path, problemOfText(value));
    if (typeof value === "number" && !Number.isFinite(value)) add(path, "is not a number");
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (withTexts && !Array.isArray(value)) add(`a key of ${path}`, problemOfText(key));
      checkJson(Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`, inner);
    }
  };
  const checkText = (path: string, text: string, most: number): void => {
    if (withTexts) add(path, text.length > most ? `has at most ${most} characters` : problemOfText(text));
  };
  const checkValue = function* (path: string, field: DescField, value: unknown): Sliced<void> {
    if (field.message !== undefined) {
      if (field.message.typeName === "google.protobuf.Struct") checkJson(path, value);
      else if (typeof value === "object" && value !== null) yield* checkMessage(path, field.message, value);
    } else if (field.enum !== undefined) {
      if (field.enum.value[value as number] === undefined) add(path, "unknown value");
    } else if (typeof value === "string") checkText(path, value, mostCharacters);
    else if (typeof value === "number" || typeof value === "bigint") add(path, problemOfNumber(field, value));
  };
  const checkMessage = function* (path: string, of: DescMessage, raw: object): Sliced<void> {
    yield;
    const { typeName } = of;
    if (typeName === "google.protobuf.Timestamp" || typeName === "google.protobuf.Duration") {
      if (isTime(raw)) add(path, problemOfTime(typeName, raw));
      return;
    }
    for (const field of of.fields) {
      const value = setValue(raw, field);
      if (value === undefined) continue;
      const at = path === "" ? field.name : `${path}.${field.name}`;
      if (field.fieldKind === "list")
        for (const [index, item] of (value as unknown[]).entries()) yield* checkValue(`${at}[${index}]`, field, item);
      else if (field.fieldKind === "map")
        for (const [key, item] of Object.entries(value)) {
          checkText(`a key of ${at}`, key, mostCharacters);
          yield* checkValue(`${at}.${key}`, field, item);
        }
      else yield* checkValue(at, field, value);
    }
  };
  yield* checkMessage("", desc, message);
  return found;
}

/** Undefined when it is not set. */
function setValue(raw: object, field: DescField): object | string | number | bigint | boolean | undefined {
  if (field.oneof === undefined) return Reflect.get(raw, field.localName) as ReturnType<typeof setValue>;
  const chosen = Reflect.get(raw, field.oneof.localName) as {
    readonly case?: string;
    readonly value?: ReturnType<typeof setValue>;
  };
  return chosen.case === field.localName ? chosen.value : undefined;
}

interface Time {
  readonly seconds: bigint;
  readonly nanos: number;
}

function isTime(raw: object): raw is Time {
  return "seconds" in raw && typeof raw.seconds === "bigint" && "nanos" in raw && typeof raw.nanos === "number";
}

function problemOfTime(type: keyof typeof mostSeconds, { seconds, nanos }: Time): string | undefined {
  const isDuration = type === "google.protobuf.Duration";
  if (seconds > mostSeconds[type] || seconds < leastSeconds[type])
    return isDuration ? "is longer than ten thousand years" : "is no time from the year 1 to 9999";
  const hasOtherSign = isDuration && ((seconds < 0n && nanos > 0) || (seconds > 0n && nanos < 0));
  const least = isDuration ? -999_999_999 : 0;
  return nanos > 999_999_999 || nanos < least || hasOtherSign ? "has nanos out of range" : undefined;
}

function problemOfText(text: string): string | undefined {
  if (text.includes("\u0000")) return "holds a NUL character";
  return unpaired.test(text) ? "holds half of a character" : undefined;
}

function problemOfNumber(field: DescField, value: number | bigint): string | undefined {
  if (field.scalar === ScalarType.DOUBLE || field.scalar === ScalarType.FLOAT)
    return Number.isFinite(value) ? undefined : "is not a number";
  const range = rangeOf(field);
  if (range === undefined) return undefined;
  const { min, max } = range;
  if (value >= min && value <= max) return undefined;
  return min === 0n ? `is at most ${max}` : `is from ${min} to ${max}`;
}

/** A path holds keys that the caller chose. */
function shown(path: string): string {
  return path.slice(0, 200).replaceAll(/[\u0000-\u001f\u007f]|\p{Surrogate}/gu, "?");
}
