import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { cleanLine, cleanText, escapeLine } from "../runtime/foreign-text.ts";
import { isInTime } from "../runtime/foreign-time.ts";
import { type FieldRange, rangeOf } from "./range-of.ts";

/** Clocks of workers may differ by so much; what is later than that has not happened. */
export const mostAheadMs = 5 * 60_000;

export interface ForeignOptions {
  /** Numbers and enum values that the contract does not have become ones that it has. Without it they stay, to be refused. */
  readonly numbers?: boolean;
  readonly now?: Date;
}

/** At most so many characters of a text, and whether it may have more than one line. By the field's name, whatever holds it. */
const texts: Readonly<Record<string, readonly [most: number, kind: "line" | "lines" | "time" | "evidence"]>> = {
  message: [4_000, "lines"],
  cause: [4_000, "lines"],
  problem: [1_000, "lines"],
  engine_problem: [1_000, "lines"],
  trouble: [1_000, "lines"],
  csr: [16_000, "lines"],
  started_at: [40, "time"],
  slug: [64, "line"],
  service: [64, "line"],
  verb: [64, "line"],
  code: [64, "line"],
  reason: [64, "line"],
};
const usualText = [1_000, "line"] as const;
/** Of one field of one message alone. */
const textsOf: Readonly<Record<string, (typeof texts)[string]>> = {
  "decnet.v1.Plan.text": [16_000, "lines"],
  "decnet.v1.StepFailure.message": [4_000, "line"],
  "decnet.v1.ServiceObservation.message": [1_000, "line"],
  "decnet.v1.Orphan.reason": [1_000, "line"],
  "decnet.v1.LogLine.text": [17_000, "evidence"],
};

/** At most so many items. */
const lists: Readonly<Record<string, number>> = {
  "decnet.v1.ReportRequest.items": 200,
  "decnet.v1.RegisterRequest.accepted": 10_000,
  "decnet.v1.InspectLanResponse.taken": 10_000,
  "decnet.v1.InspectLanResponse.subnets": 10_000,
  "decnet.v1.AgentServiceListOrphansResponse.orphans": 5_000,
  "decnet.v1.AgentServiceListOrphansResponse.others": 5_000,
  "decnet.v1.AgentServiceRemoveOrphansResponse.removed": 5_000,
  "decnet.v1.InspectResponse.deckies": 2_000,
  "decnet.v1.ReadSpecsResponse.deckies": 2_000,
  "decnet.v1.AgentServiceStreamLogsResponse.lines": 1_000,
  "decnet.v1.DeckyObservation.services": 64,
  "decnet.v1.ServiceObservation.listening": 64,
};
const usualList = 200;

/** All texts of one report, or of one outcome, together have at most so many characters. */
const mostTogether = 64_000;
const budgeted = new Set([
  "decnet.v1.ReportItem",
  "decnet.v1.DeckyOutcome",
  "decnet.v1.ApplyDeckiesResponse",
  "decnet.v1.DeckyObservation",
  "decnet.v1.StepFailure",
  "decnet.v1.AcceptedDecky",
  "decnet.v1.AddressHolder",
  "decnet.v1.LogLine",
  "decnet.v1.Orphan",
  "decnet.v1.OtherInstallation",
  "decnet.v1.RemovedOrphan",
  "decnet.v1.PreparedImage",
  "decnet.v1.DeckySpec",
]);
/** Messages of the contract are not as deep; a plan can hold plans. */
const deepest = 8;
/**
 * Compared, and refused, as it was said: the clock, see admission.ts, and settings, which the catalog judges like an operator's.
 * Whoever takes a spec over takes all of it, or nothing.
 */
const exempt = new Set(["decnet.v1.AgentFacts.clock", "decnet.v1.ServiceSpec.config"]);
/** Refused as a whole when they are too large, for the same reason. */
const whole = new Set(["decnet.v1.AgentFacts", "decnet.v1.NetworkInterface", "decnet.v1.Capacity"]);

interface Walk {
  readonly numbers: boolean;
  readonly now: number;
  left: number;
}

/**
 * The one gate for everything that a worker says: its calls, its answers and its streams pass here before anything else reads
 * them. Afterwards every text is short, printable and of as many lines as its field may have; every list is short; every time has
 * been; nothing is left that the contract does not have. Changes the message in place.
 */
export function admitForeign(
  desc: DescMessage,
  message: object,
  { numbers = false, now = new Date() }: ForeignOptions = {},
): void {
  admitMessage(desc, message, 0, { numbers, now: now.getTime(), left: mostTogether });
}

/** What the tables above and the contract say of one field. */
interface FieldRule {
  readonly field: DescField;
  readonly isExempt: boolean;
  readonly mostItems: number;
  readonly text: (typeof texts)[string];
  readonly range: FieldRange;
}

const rules = new WeakMap<DescMessage, readonly FieldRule[]>();

/** Looked up once: thousands of messages of one kind come. */
function rulesOf(desc: DescMessage): readonly FieldRule[] {
  const known = rules.get(desc);
  if (known !== undefined) return known;
  const made = desc.fields.map((field): FieldRule => {
    const name = `${desc.typeName}.${field.name}`;
    return {
      field,
      isExempt: exempt.has(name),
      mostItems: whole.has(desc.typeName) ? Number.POSITIVE_INFINITY : (lists[name] ?? usualList),
      text: textsOf[name] ?? texts[field.name] ?? usualText,
      range: rangeOf(field) ?? { min: 0n, max: 0n },
    };
  });
  rules.set(desc, made);
  return made;
}

function admitMessage(desc: DescMessage, message: object, depth: number, walk: Walk): void {
  Reflect.deleteProperty(message, "$unknown");
  const own = whole.has(desc.typeName)
    ? { ...walk, left: Number.POSITIVE_INFINITY }
    : budgeted.has(desc.typeName)
      ? { ...walk, left: mostTogether }
      : walk;
  for (const rule of rulesOf(desc)) {
    const { field } = rule;
    const holder = field.oneof === undefined ? message : chosenOf(message, field);
    if (holder === undefined) continue;
    const key = field.oneof === undefined ? field.localName : "value";
    const value: unknown = Reflect.get(holder, key);
    if (value === undefined) continue;
    const admitted = admitField(rule, value, depth, own);
    if (admitted !== value) Reflect.set(holder, key, admitted);
  }
}

/** The group of the oneof when it is this field that is set. */
function chosenOf(message: object, { oneof, localName }: DescField): object | undefined {
  const group: unknown = oneof === undefined ? undefined : Reflect.get(message, oneof.localName);
  return typeof group === "object" && group !== null && Reflect.get(group, "case") === localName ? group : undefined;
}

function admitField(rule: FieldRule, value: unknown, depth: number, walk: Walk): unknown {
  const { field } = rule;
  if (rule.isExempt) return value;
  if (field.fieldKind === "list" && Array.isArray(value)) {
    const most = depth >= deepest && field.message !== undefined ? 0 : rule.mostItems;
    // The end of an output says why it ended.
    const kept: unknown[] = field.name === "output_tail" ? value.slice(-most) : value.slice(0, most);
    return kept.map((item) => admitValue(rule, item, depth, walk));
  }
  if (field.fieldKind === "map" && typeof value === "object" && value !== null) {
    const entries = Object.entries(value).slice(0, usualList);
    return Object.fromEntries(
      entries.map(([key, item]) => [admitText(usualText, key, walk), admitValue(rule, item, depth, walk)]),
    );
  }
  if (field.message !== undefined && depth >= deepest) return undefined;
  return admitValue(rule, value, depth, walk);
}

function admitValue(rule: FieldRule, value: unknown, depth: number, walk: Walk): unknown {
  const { field } = rule;
  if (field.message !== undefined) {
    if (typeof value !== "object" || value === null) return value;
    if (field.message.typeName === "google.protobuf.Timestamp") admitTime(value, walk.now);
    else admitMessage(field.message, value, depth + 1, walk);
    return value;
  }
  if (typeof value === "string") return admitText(rule.text, value, walk);
  if (!walk.numbers) return value;
  if (field.enum !== undefined) return field.enum.value[value as number] === undefined ? 0 : value;
  return typeof value === "number" || typeof value === "bigint" ? admitNumber(rule, value) : value;
}

function admitText([usual, kind]: FieldRule["text"], text: string, walk: Walk): string {
  const most = walk.left === Number.POSITIVE_INFINITY ? walk.left : usual;
  if (kind === "time") return isPastTime(text, walk.now) ? text : "";
  const fits = Math.min(most, walk.left);
  walk.left -= Math.min(text.length, fits);
  if (kind === "evidence") return escapeLine(text, fits);
  return kind === "lines" ? cleanText(text, fits) : cleanLine(text, fits);
}

/** As engines write it. Also the year 1, which they write for never. */
function isPastTime(text: string, now: number): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text) && Date.parse(text) <= now + mostAheadMs;
}

function admitTime(at: object, now: number): void {
  const { seconds, nanos } = at as { seconds: bigint; nanos: number };
  const isPast = isInTime({ seconds, nanos }) && seconds * 1_000n <= BigInt(now + mostAheadMs);
  Reflect.deleteProperty(at, "$unknown");
  if (isPast) return;
  Reflect.set(at, "seconds", BigInt(Math.floor(now / 1_000)));
  Reflect.set(at, "nanos", 0);
}

const bounds = { int32: 2_147_483_647, int64: 9_223_372_036_854_775_807n } as const;

function admitNumber({ field, range: { min, max } }: FieldRule, value: number | bigint): number | bigint {
  if (field.scalar === ScalarType.DOUBLE || field.scalar === ScalarType.FLOAT)
    return typeof value === "number" && Number.isFinite(value) ? value : 0;
  if (typeof value === "bigint") {
    const most = max === 0n ? bounds.int64 : max;
    return value > most ? most : value < min ? min : value;
  }
  return Math.max(Number(min), Math.min(value, max === 0n ? bounds.int32 : Number(max)));
}
