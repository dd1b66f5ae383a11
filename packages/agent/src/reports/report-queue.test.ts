import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openReportQueue, type ReportQueue } from "./report-queue.ts";

let folder: string;
let troubles: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "decnet-queue-"));
  troubles = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const file = () => join(folder, "queue.jsonl");
const open = (most = 100) => openReportQueue(folder, most, (message) => void troubles.push(message));
const say = (queue: ReportQueue, problem: string) =>
  queue.push({ case: "engine", value: { $typeName: "decnet.v1.EngineReport", problem } });
/** What waits: problems of engines, and how many reports were lost. */
const waiting = (queue: ReportQueue) =>
  queue
    .peek(1_000)
    .map(({ item }) => (item.case === "engine" ? item.value.problem : item.case === "gap" ? `-${item.value.lost}` : ""));
const numbers = (queue: ReportQueue) => queue.peek(1_000).map(({ sequence }) => sequence);

async function filled(...problems: string[]): Promise<ReportQueue> {
  const queue = await open();
  for (const problem of problems) await say(queue, problem);
  return queue;
}

describe("a queue that is opened again", () => {
  it("has what waited, and goes on counting", async () => {
    const first = await filled("a", "b");
    const second = await open();
    await say(second, "c");
    expect([waiting(second), numbers(second), second.stream, troubles]).toEqual([
      ["a", "b", "c"],
      [1n, 2n, 3n],
      first.stream,
      [],
    ]);
  });

  it.each<[what: string, damage: (text: string) => string, left: string[]]>([
    ["the last line is torn", (text) => text.slice(0, -20), ["a", "b", "-1"]],
    ["something was appended behind a torn line", (text) => torn(text), ["a", "c", "-1"]],
    ["a line in the middle is garbage", (text) => text.replace(/^.*"b".*$/m, "\u0000\u0000garbage"), ["a", "c", "-1"]],
    ["a line in the middle is gone", (text) => text.replace(/^.*"b".*\n/m, ""), ["a", "c", "-1"]],
    ["a number is no number of this queue", (text) => text.replace('"sequence":"2"', '"sequence":"99999999"'), ["a", "c", "-1"]],
    ["it ends in zeros, as after a power cut", (text) => `${text.slice(0, -20)}${"\u0000".repeat(4_096)}`, ["a", "b", "-1"]],
  ])("has everything else when %s, says how much is lost, and uses no number again", async (_, damage, left) => {
    const first = await filled("a", "b", "c");
    await writeFile(file(), damage(await readFile(file(), "utf8")));
    const second = await open();
    await say(second, "d");
    expect([waiting(second), second.stream]).toEqual([[...left, "d"], first.stream]);
    expect(troubles).toEqual(["the queue of reports was damaged, and is recovered"]);
    expect(
      numbers(second)
        .slice(left.length - 1)
        .every((number) => number > 3n),
    ).toBe(true);
    // What was recovered is whole again.
    expect(waiting(await open())).toEqual([...left, "d"]);
    expect(troubles).toHaveLength(1);
  });

  it("has a line once that is there twice, and nothing to say about it", async () => {
    await filled("a", "b", "c");
    await writeFile(file(), (await readFile(file(), "utf8")).replace(/^.*"b".*\n/m, "$&$&"));
    expect([waiting(await open()), troubles]).toEqual([["a", "b", "c"], []]);
  });

  /** As a crash leaves it whose agent went on appending. */
  const torn = (text: string) => text.replace(/^(.*"b").*\n/m, "$1");

  it.each([
    ["garbage", "\u0000\u0001\ufffd{"],
    ["JSON that is no head", "[1,2]"],
    ["a head with a number that is none", '{"stream":"s","last":"-1e9"}'],
    ["a report", ""],
  ])("has all reports, on another stream, when its head is %s", async (_, head) => {
    const first = await filled("a", "b");
    await writeFile(file(), (await readFile(file(), "utf8")).replace(/^.*\n/, head === "" ? "" : `${head}\n`));
    const second = await open();
    expect([waiting(second), numbers(second)]).toEqual([
      ["a", "b", "-1"],
      [1n, 2n, 3n],
    ]);
    expect([second.stream === first.stream, troubles.length]).toEqual([false, 1]);
  });

  it("is a new one when the file cannot be read, which is put aside", async () => {
    await rm(file(), { force: true });
    await mkdir(file(), { recursive: true });
    const queue = await open();
    await say(queue, "a");
    expect(waiting(queue)).toEqual(["-1", "a"]);
    expect(waiting(await open())).toEqual(["-1", "a"]);
  });

  it("gives other numbers to what is new when the master has more than the disk kept", async () => {
    await filled("a");
    const second = await open();
    await say(second, "b");
    await second.resume(7n);
    await say(second, "c");
    expect([waiting(second), numbers(second)]).toEqual([
      ["b", "c"],
      [8n, 9n],
    ]);
    await second.acknowledge(8n);
    expect(waiting(second)).toEqual(["c"]);
  });
});

describe("a disk that takes nothing", () => {
  it("keeps no report from the master, and has all of them when it takes something again", async () => {
    const queue = await filled("a");
    // A folder in the file's place: neither an append nor a new file gets there.
    const kept = await readFile(file(), "utf8");
    await rm(file());
    await mkdir(join(file(), "x"), { recursive: true });
    await say(queue, "b");
    await say(queue, "c");
    expect(waiting(queue)).toEqual(["a", "b", "c"]);
    expect(troubles).toEqual(["reports cannot be written, and wait in memory"]);
    await rm(file(), { recursive: true });
    await appendFile(file(), kept.slice(0, -5));
    await say(queue, "d");
    expect(troubles).toEqual(["reports cannot be written, and wait in memory", "reports are kept on disk again"]);
    expect(waiting(await open())).toEqual(["a", "b", "c", "d"]);
  });
});

it("is bounded: the oldest go, and one report says how many", async () => {
  const queue = await open(10);
  for (let number = 1; number <= 30; number += 1) await say(queue, String(number));
  expect([queue.length, waiting(queue)[0], waiting(queue).at(-1)]).toEqual([10, "-21", "30"]);
  expect(waiting(await open(10))).toHaveLength(10);
});
