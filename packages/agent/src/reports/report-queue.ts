import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Bell, createBell } from "@decnet/common/runtime/signal-bell";
import { type ReportItem, ReportItemSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { appendLine, formatItem, readQueue, writeQueue } from "./queue-file.ts";

export type ReportContent = ReportItem["item"];

/**
 * What happened on this host and was not acknowledged yet, in order, on disk. Bounded: when it is full the oldest go, and one
 * report says how many were lost. Sequence numbers start at 1 with each `stream` and never repeat. A disk that takes nothing
 * keeps no report from the master: it waits in memory meanwhile, and is written with the next one that can be.
 */
export interface ReportQueue {
  readonly stream: string;
  push(content: ReportContent): Promise<void>;
  /** The oldest that wait, at most `most`. */
  peek(most: number): readonly ReportItem[];
  acknowledge(sequence: bigint): Promise<void>;
  /**
   * The newest number that the master has of this stream, as it says when it registers the agent. When that is more than the file
   * knew of, the reports since then get numbers that the master has not seen.
   */
  resume(acknowledged: bigint): Promise<void>;
  /** Takes out what the master refuses for good. */
  drop(refused: (item: ReportItem) => boolean): Promise<void>;
  readonly length: number;
  /** Rings when something was pushed. */
  readonly bell: Bell;
}

/** What happened to the file: recovered from damage, not written, or written again. */
export type OnQueueTrouble = (message: string, fields: Readonly<Record<string, unknown>>) => void;

const rewriteAfter = 1_000;

export async function openReportQueue(
  folder: string,
  most: number,
  onTrouble: OnQueueTrouble = () => undefined,
): Promise<ReportQueue> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, "queue.jsonl");
  const bell = createBell();
  const { stream, last, items: found, lost, damage } = await readQueue(file);
  let items: readonly ReportItem[] = withinBounds(found, most);
  let next = last + 1n;
  /** The first number of this life, until the master has said what it knows of earlier ones. */
  let firstOwn: bigint | undefined = next;
  let acknowledgedSinceRewrite = 0;
  /** The file holds a part of a line, or not all that waits: nothing is appended before it is whole again. */
  let isBehind = false;
  let tail: Promise<unknown> = Promise.resolve();
  /** Writes happen one after another. */
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = tail.then(work);
    tail = mine.catch(() => undefined);
    return mine;
  };
  const write = async (how: () => Promise<void>) => {
    try {
      await how();
      if (isBehind) onTrouble("reports are kept on disk again", { waiting: items.length });
      isBehind = false;
    } catch (error) {
      if (!isBehind) onTrouble("reports cannot be written, and wait in memory", { err: error, waiting: items.length });
      isBehind = true;
    }
  };
  const rewrite = () => {
    acknowledgedSinceRewrite = 0;
    return write(() => writeQueue(file, stream, next - 1n, items));
  };
  const makeItem = (content: ReportContent): ReportItem => {
    const item = create(ReportItemSchema, { sequence: next, at: timestampFromDate(new Date()), item: content });
    next += 1n;
    return item;
  };
  if (damage !== "") {
    onTrouble("the queue of reports was damaged, and is recovered", { damage, lost: String(lost), kept: items.length });
    items = [...items, makeItem({ case: "gap", value: { $typeName: "decnet.v1.GapReport", lost } })];
  }
  await rewrite();
  const makeRoom = () => {
    items = withinBounds(items, most - 1);
  };
  const acknowledge = async (sequence: bigint) => {
    const left = items.filter((item) => item.sequence > sequence);
    acknowledgedSinceRewrite += items.length - left.length;
    items = left;
    if (acknowledgedSinceRewrite >= rewriteAfter || (left.length === 0 && acknowledgedSinceRewrite > 0)) await rewrite();
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
        const item = makeItem(content);
        const line = formatItem(item);
        if (isBehind || (isFull && acknowledgedSinceRewrite >= rewriteAfter)) {
          items = [...items, item];
          await rewrite();
        } else {
          acknowledgedSinceRewrite += isFull ? 1 : 0;
          await write(() => appendLine(file, line));
          // It may be sent only now: what the master has is known here after any crash.
          items = [...items, item];
        }
        bell.ring();
      }),
    peek: (count) => items.slice(0, count),
    acknowledge: (sequence) => alone(() => acknowledge(sequence)),
    resume: (acknowledged) =>
      alone(async () => {
        const own = firstOwn;
        firstOwn = undefined;
        if (own === undefined || acknowledged < own) return acknowledge(acknowledged);
        const ours = items.filter(({ sequence }) => sequence >= own);
        onTrouble("the master has reports that the disk did not keep", {
          acknowledged: String(acknowledged),
          known: String(own),
        });
        next = acknowledged + 1n;
        items = ours.map((item) => {
          const renumbered = create(ReportItemSchema, { ...item, sequence: next });
          next += 1n;
          return renumbered;
        });
        await rewrite();
      }),
    drop: (refused) =>
      alone(async () => {
        items = items.filter((item) => !refused(item));
        await rewrite();
      }),
  };
}

/** The newest so many; the first of them says how many older ones are gone. */
function withinBounds(items: readonly ReportItem[], most: number): readonly ReportItem[] {
  if (items.length <= most) return items;
  const gone = items.slice(0, items.length - most + 1);
  const lost = gone.reduce((count, { item }) => count + (item.case === "gap" ? item.value.lost : 1n), 0n);
  const gap = create(ReportItemSchema, {
    sequence: gone.at(-1)?.sequence ?? 0n,
    at: timestampFromDate(new Date()),
    item: { case: "gap", value: { lost } },
  });
  return [gap, ...items.slice(gone.length)];
}
