import { randomUUID } from "node:crypto";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { type Bell, createBell } from "@decnet/common/runtime/signal-bell";
import { type ReportItem, ReportItemSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";

export type ReportContent = ReportItem["item"];

/**
 * What happened on this host and was not acknowledged yet, in order, on disk. Bounded: when it is full the oldest go, and one
 * report says how many were lost. Sequence numbers start at 1 with each `stream` and never repeat.
 */
export interface ReportQueue {
  readonly stream: string;
  push(content: ReportContent): Promise<void>;
  /** The oldest that wait, at most `most`. */
  peek(most: number): readonly ReportItem[];
  acknowledge(sequence: bigint): Promise<void>;
  /** Takes out what the master refuses for good. */
  drop(refused: (item: ReportItem) => boolean): Promise<void>;
  readonly length: number;
  /** Rings when something was pushed. */
  readonly bell: Bell;
}

const rewriteAfter = 1_000;

export async function openReportQueue(folder: string, most: number): Promise<ReportQueue> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, "queue.jsonl");
  const bell = createBell();
  const found = await readQueue(file);
  const stream = found.stream ?? randomUUID();
  let items = found.items;
  let next = items.reduce((last, item) => (item.sequence > last ? item.sequence : last), found.last) + 1n;
  let acknowledgedSinceRewrite = 0;
  let tail: Promise<unknown> = Promise.resolve();
  /** Writes happen one after another. */
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = tail.then(work);
    tail = mine.catch(() => undefined);
    return mine;
  };
  const rewrite = async () => {
    acknowledgedSinceRewrite = 0;
    await writeFileAtomically(file, [formatHead(stream, next - 1n), ...items.map(formatItem)].join(""), 0o600);
  };
  await rewrite();
  const makeRoom = () => {
    if (items.length < most) return;
    const [first, second] = items;
    const lost = [first, second].reduce((count, item) => count + (item?.item.case === "gap" ? item.item.value.lost : 1n), 0n);
    const gap = create(ReportItemSchema, {
      sequence: second?.sequence ?? 0n,
      at: timestampFromDate(new Date()),
      item: { case: "gap", value: { lost } },
    });
    items = [gap, ...items.slice(2)];
  };
  return {
    stream,
    bell,
    get length() {
      return items.length;
    },
    push: (content) =>
      alone(async () => {
        const isFull = items.length >= most;
        makeRoom();
        const item = create(ReportItemSchema, { sequence: next, at: timestampFromDate(new Date()), item: content });
        next += 1n;
        items = [...items, item];
        if (isFull && acknowledgedSinceRewrite >= rewriteAfter) await rewrite();
        else {
          acknowledgedSinceRewrite += isFull ? 1 : 0;
          await append(file, formatItem(item));
        }
        bell.ring();
      }),
    peek: (count) => items.slice(0, count),
    acknowledge: (sequence) =>
      alone(async () => {
        const left = items.filter((item) => item.sequence > sequence);
        acknowledgedSinceRewrite += items.length - left.length;
        items = left;
        if (acknowledgedSinceRewrite >= rewriteAfter || (left.length === 0 && acknowledgedSinceRewrite > 0)) await rewrite();
      }),
    drop: (refused) =>
      alone(async () => {
        items = items.filter((item) => !refused(item));
        await rewrite();
      }),
  };
}

function formatHead(stream: string, last: bigint): string {
  return `${JSON.stringify({ stream, last: String(last) })}\n`;
}

function formatItem(item: ReportItem): string {
  return `${toJsonString(ReportItemSchema, item)}\n`;
}

async function append(file: string, text: string): Promise<void> {
  const handle = await open(file, "a", 0o600);
  try {
    await handle.writeFile(text);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function readQueue(file: string): Promise<{ stream: string | undefined; last: bigint; items: ReportItem[] }> {
  const lines = (await readFile(file, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  const [head, ...rest] = lines;
  if (head === undefined) return { stream: undefined, last: 0n, items: [] };
  const { stream, last } = JSON.parse(head) as { stream: string; last: string };
  const items: ReportItem[] = [];
  for (const line of rest) {
    try {
      items.push(fromJsonString(ReportItemSchema, line));
    } catch {
      // A crash in the middle of an append leaves a torn last line: that report was never promised.
      break;
    }
  }
  return { stream, last: BigInt(last), items };
}
