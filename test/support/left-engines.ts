import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { observeProcess } from "@decnet/engine/observe/process";

/** Where an engine of a test's own keeps everything, and its network namespace. */
export interface EnginePlace {
  readonly folder: string;
  readonly netns: string;
}

/**
 * What test commands made that outlives them: a file for each engine, whose name says which process answers for it. One that is
 * ended in the middle leaves its files, and the next one removes what they speak of.
 */
const records = join(tmpdir(), "decnet-test-engines");

/** Notes an engine before it is made; returns the record to forget. */
export async function noteEngine(place: EnginePlace): Promise<string> {
  await mkdir(records, { recursive: true, mode: 0o700 });
  const record = join(records, `${place.netns}.${await ownName()}`);
  await writeFile(record, JSON.stringify(place));
  return record;
}

export function forgetEngine(record: string): Promise<void> {
  return rm(record, { force: true });
}

/** Takes over the engines that nobody answers for any more: of several who try, one gets each. */
export async function takeLeftEngines(): Promise<{ readonly record: string; readonly place: EnginePlace }[]> {
  const taken: { record: string; place: EnginePlace }[] = [];
  for (const name of await readdir(records).catch(() => [])) {
    const [netns = "", pid = "", startTime = ""] = name.split(".");
    if ((await observeProcess(Number(pid)))?.startTime === startTime) continue;
    const record = join(records, `${netns}.${await ownName()}`);
    const isMine = await rename(join(records, name), record).then(
      () => true,
      () => false,
    );
    if (isMine) taken.push({ record, place: readPlace(await readFile(record, "utf8"), netns) });
  }
  return taken;
}

function readPlace(text: string, netns: string): EnginePlace {
  const { folder } = JSON.parse(text) as Partial<EnginePlace>;
  if (folder === undefined) throw new Error(`${netns} has no folder in its record`);
  return { folder, netns };
}

/** This process, told from every other that has, had or will have its number. */
async function ownName(): Promise<string> {
  return `${process.pid}.${(await observeProcess(process.pid))?.startTime ?? ""}`;
}
