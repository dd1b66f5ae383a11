import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { AppError } from "../errors/app-error.ts";
import { lockFolder } from "./folder-lock.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "decnet-lock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const file = () => join(folder, "daemon.lock");
const lock = () => lockFolder(folder, "decnet master", 0o700);
const failure = (taking: Promise<unknown>) =>
  taking.then(
    () => undefined,
    (error: unknown) => error as AppError,
  );

/** The lock of a process that was killed: what a living one wrote, changed in the named places. */
async function leaveBehind(changes: Record<string, unknown>): Promise<void> {
  const held = await lock();
  const text = JSON.parse(await readFile(file(), "utf8")) as object;
  await held.release();
  await writeFile(file(), JSON.stringify({ ...text, ...changes }));
}

it("a second starter is told who has the folder and what to do, and changes nothing", async () => {
  const held = await lock();
  await held.note("127.0.0.1:7440");
  const refused = await failure(lock());
  expect(refused?.reason).toBe("DATA_FOLDER_IN_USE");
  expect(refused?.message).toMatch(
    new RegExp(`in use by decnet master, process ${process.pid} on .+, since .+, listening on 127.0.0.1:7440$`),
  );
  expect(refused?.next.length).toBe(1);
  expect(refused?.next[0]).toContain(`${process.pid}`);
  await held.release();
  expect(await readdir(folder)).toEqual([]);
  await (await lock()).release();
});

it.each<[string, Record<string, unknown>]>([
  ["that ended", { pid: 2 ** 22 - 1 }],
  ["whose number another process has now", { startTicks: "1" }],
  ["of the time before the machine was started again", { bootId: "another" }],
])("the lock of a process %s is taken over", async (_, changes) => {
  await leaveBehind(changes);
  const held = await lock();
  expect((await failure(lock()))?.reason).toBe("DATA_FOLDER_IN_USE");
  await held.release();
  expect(await readdir(folder)).toEqual([]);
});

it.each(["", "{", "null", "[]", "7", '{"pid":"x"}'])("a file that holds %j is nobody's lock", async (text) => {
  await writeFile(file(), text);
  await (await lock()).release();
});

it.each<[string, Record<string, unknown>]>([
  ["another machine", { bootId: "another", hostName: "another" }],
  ["another container", { pidNamespace: "pid:[1]", sign: "" }],
])("a holder on %s cannot be judged: it keeps the folder, and the next step says how to go on", async (_, changes) => {
  await leaveBehind({ id: "theirs", ...changes });
  expect((await failure(lock()))?.next.join()).toContain(`rm ${file()}`);
});

it("a holder in another container keeps the folder as long as it lives, also when it stands still, and no longer", async () => {
  // As far as the folder says: an inode of a namespace may be that of another one by now.
  const elsewhere = async () =>
    writeFile(file(), JSON.stringify({ ...(JSON.parse(await readFile(file(), "utf8")) as object), pidNamespace: "pid:[1]" }));
  const program = `
    import { lockFolder } from ${JSON.stringify(new URL("./folder-lock.ts", import.meta.url).href)};
    await lockFolder(${JSON.stringify(folder)}, "decnet master", 0o700);
    process.stdout.write("held");
    setInterval(() => undefined, 1000);`;
  const args = ["--import", "tsx", "--conditions=source", "--input-type=module", "-e", program];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(child.stdout, "data");
    await elsewhere();
    child.kill("SIGSTOP");
    expect((await failure(lock()))?.message).toContain(`process ${child.pid} on`);
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
  expect((await readdir(folder)).length).toBe(2);
  await (await lock()).release();
  expect(await readdir(folder)).toEqual([]);
}, 30_000);

it("of many that start at once exactly one gets the folder", async () => {
  const stale = [undefined, { pid: 2 ** 22 - 1 }, { startTicks: "1" }];
  for (let round = 0; round < 30; round += 1) {
    const before = stale[round % stale.length];
    if (before !== undefined) await leaveBehind(before);
    // A starter that was killed while it took over leaves this.
    if (round % 2 === 1 && before !== undefined)
      await writeFile(`${file()}.takeover`, (await readFile(file(), "utf8")).replace(/"id":"[^"]*"/, '"id":"other"'));
    const results = await Promise.allSettled(Array.from({ length: 12 }, lock));
    const winners = results.filter((result) => result.status === "fulfilled");
    expect(winners.length).toBe(1);
    for (const result of results)
      if (result.status === "rejected") expect((result.reason as AppError).reason).toBe("DATA_FOLDER_IN_USE");
    for (const { value } of winners) await value.release();
    expect(await readdir(folder)).toEqual([]);
  }
}, 30_000);

it("a lock in a copy of the folder is nobody's", async () => {
  const held = await lock();
  const copy = `${folder}-copy`;
  try {
    await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith(".alive") });
    await (await lockFolder(copy, "decnet master", 0o700)).release();
    expect(await readdir(copy)).toEqual([]);
  } finally {
    await rm(copy, { recursive: true, force: true });
    await held.release();
  }
});

it("a lock that was lost is not taken from its new holder", async () => {
  const old = await lock();
  await rm(file());
  const held = await lock();
  await old.note("x");
  await old.release();
  expect((await failure(lock()))?.reason).toBe("DATA_FOLDER_IN_USE");
  await held.release();
});

it("a folder that cannot be made is said", async () => {
  await writeFile(join(folder, "file"), "");
  const refused = await failure(lockFolder(join(folder, "file"), "decnet master", 0o700));
  expect(refused?.reason).toBe("STORAGE_UNAVAILABLE");
  expect(refused?.message).toContain(join(folder, "file"));
});
