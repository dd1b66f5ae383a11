import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { useOwnEngine } from "../own-engine.ts";
import { labFolders } from "./plan.ts";
import { isAlive } from "./processes.ts";

/** Names the folder to all files of a run. No setting of ours: daemons are told of those that have no meaning. */
const variable = "TEST_ENGINE_IMAGES";
/** Followed by the process whose folder it is: this one, unless scripts/test.sh had it made for all its suites. */
const prefix = "decnet-images-";
const owner = process.env["TEST_OWNER"] ?? process.pid;
/** Of an engine's data root: what it knows of images, and their layers. */
const [known, layers] = ["image", "overlay2"];

/**
 * Loads images into an engine, once for a whole run, and keeps how it stores them. Removed by what this resolves to; what
 * scripts/test.sh has is left to it.
 */
export async function makeReadyImages(images: readonly string[]): Promise<() => Promise<void>> {
  if (process.env[variable] !== undefined) return async () => undefined;
  for (const name of await readdir(labFolders))
    if (name.startsWith(prefix) && !(await isAlive(Number(name.split("-")[2]))))
      await rm(join(labFolders, name), { recursive: true, force: true });
  const folder = await mkdtemp(join(labFolders, `${prefix}${owner}-`));
  const engine = await useOwnEngine({ settings: { "storage-driver": "overlay2" } });
  try {
    await engine.load(images);
    // A running engine has the layers mounted.
    await engine.stop("SIGTERM");
    await execa("mv", [...[known, layers].map((part) => join(engine.dataFolder, part)), folder]);
    await writeFile(join(folder, "tags.json"), JSON.stringify(images));
  } finally {
    await engine.dispose();
  }
  process.env[variable] = folder;
  return () => rm(folder, { recursive: true, force: true });
}

/** Tags of what `placeImages` places. */
export async function readyImages(): Promise<readonly string[]> {
  const ready = process.env[variable];
  return ready === undefined ? [] : (JSON.parse(await readFile(join(ready, "tags.json"), "utf8")) as string[]);
}

/**
 * Puts them into the data root of an engine that has not started yet. To load them takes each host a second of processor time and
 * hundreds of megabytes of the disk, and a run of all tests has nearly a hundred hosts. What is in a layer of an image is never
 * changed: the engines share it.
 */
export async function placeImages(dataRoot: string): Promise<void> {
  const ready = process.env[variable];
  if (ready === undefined) return;
  await mkdir(join(dataRoot, layers), { recursive: true, mode: 0o710 });
  await execa("cp", ["-a", join(ready, known), dataRoot]);
  for (const name of await readdir(join(ready, layers))) {
    const [from, to] = [join(ready, layers, name), join(dataRoot, layers, name)];
    // The short names of all layers.
    if (name === "l") await cp(from, to, { recursive: true, verbatimSymlinks: true });
    else await placeLayer(from, to);
  }
}

async function placeLayer(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o710 });
  for (const part of await readdir(from))
    if (part === "diff") await symlink(join(from, part), join(to, part));
    else await cp(join(from, part), join(to, part), { recursive: true });
}
