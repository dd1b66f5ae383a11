import { randomUUID } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { type ReportItem, ReportItemSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";

/** What was found in a queue's file, whatever happened to it. */
export interface FoundQueue {
  readonly stream: string;
  /** The newest number that may have been given out. */
  readonly last: bigint;
  readonly items: readonly ReportItem[];
  /** Reports that were there and cannot be read any more, as far as that can be told. */
  readonly lost: bigint;
  /** What was wrong with it; empty when nothing was. */
  readonly damage: string;
}

/** Numbers that are left out after damage: one of them may be the number of a report that is lost, and was sent. */
const leftOut = 1_000n;
const itemStart = '{"sequence":"';

export function formatHead(stream: string, last: bigint): string {
  return `${JSON.stringify({ stream, last: String(last) })}\n`;
}

export function formatItem(item: ReportItem): string {
  return `${toJsonString(ReportItemSchema, item)}\n`;
}

/** Appends a line durably. A part of it may be in the file when that fails. */
export async function appendLine(file: string, text: string): Promise<void> {
  const handle = await open(file, "a", 0o600);
  try {
    await handle.writeFile(text);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** The whole queue in place of the file. */
export async function writeQueue(file: string, stream: string, last: bigint, items: readonly ReportItem[]): Promise<void> {
  await writeFileAtomically(file, [formatHead(stream, last), ...items.map(formatItem)].join(""), 0o600);
}

/**
 * Reads everything that can be read. A torn line costs the report that it was, and nothing behind it; a head that is none costs
 * the name of the stream. A file that cannot be read at all is put aside, not written over.
 */
export async function readQueue(file: string): Promise<FoundQueue> {
  const fresh = (damage: string, lost = 0n): FoundQueue => ({ stream: randomUUID(), last: 0n, items: [], lost, damage });
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return fresh("");
    await rename(file, `${file}.unreadable`).catch(() => undefined);
    return fresh(`it cannot be read: ${error instanceof Error ? error.message : String(error)}`, 1n);
  }
  if (text === "") return fresh("");
  const [first = "", ...rest] = text.split("\n");
  const head = parseHead(first);
  if (head === undefined) {
    const { items } = parseItems([first, ...rest], 2n ** 62n);
    // Nobody knows what these numbers were compared with: the stream is another one, and counts from its start.
    const renumbered = items.map((item, index) => create(ReportItemSchema, { ...item, sequence: BigInt(index + 1) }));
    return { stream: randomUUID(), last: BigInt(items.length), items: renumbered, lost: 1n, damage: "its head is no head" };
  }
  // What waited when the head was written may have holes; what was appended since has none.
  const { items, torn } = parseItems(rest, head.last + BigInt(rest.length));
  const newest = items.reduce((last, { sequence }) => (sequence > last ? sequence : last), head.last);
  const gone = newest - head.last - BigInt(items.filter(({ sequence }) => sequence > head.last).length);
  const lost = gone > BigInt(torn) ? gone : BigInt(torn);
  if (lost === 0n) return { stream: head.stream, last: newest, items, lost, damage: "" };
  return { stream: head.stream, last: newest + leftOut, items, lost, damage: `${torn} lines of it cannot be read` };
}

function parseHead(line: string): { readonly stream: string; readonly last: bigint } | undefined {
  try {
    const head: unknown = JSON.parse(line);
    if (typeof head !== "object" || head === null || !("stream" in head) || !("last" in head)) return undefined;
    const { stream, last } = head;
    if (typeof stream !== "string" || !/^[\w-]{1,64}$/.test(stream)) return undefined;
    return typeof last === "string" && /^\d{1,18}$/.test(last) ? { stream, last: BigInt(last) } : undefined;
  } catch {
    return undefined;
  }
}

/** In the order of their numbers, each number once. */
function parseItems(lines: readonly string[], most: bigint): { items: ReportItem[]; torn: number } {
  const items: ReportItem[] = [];
  let torn = 0;
  for (const line of lines) {
    if (line === "") continue;
    const item = parseItem(line, most);
    // What was appended behind a torn line stands on the same line.
    const at = item === undefined ? line.lastIndexOf(itemStart) : -1;
    const behind = at > 0 ? parseItem(line.slice(at), most) : undefined;
    if (item === undefined) torn += 1;
    const found = item ?? behind;
    if (found !== undefined && found.sequence > (items.at(-1)?.sequence ?? 0n)) items.push(found);
  }
  return { items, torn };
}

function parseItem(line: string, most: bigint): ReportItem | undefined {
  try {
    const item = fromJsonString(ReportItemSchema, line);
    return item.sequence > 0n && item.sequence <= most && item.item.case !== undefined ? item : undefined;
  } catch {
    return undefined;
  }
}
