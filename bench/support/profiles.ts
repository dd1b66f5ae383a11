import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Program } from "./programs.ts";

/** Where the processor time of a program goes while something is done; without a folder nothing is looked at. */
export interface Profiles {
  /** What the program has to be started with. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Does it, and prints what took the program's time meanwhile. The whole profile is left in the folder. */
  during<T>(program: Program, act: () => Promise<T>): Promise<T>;
}

/** The numbers that a bench was given, and what `--profiles FOLDER` and `--node FLAG` say of its master. */
export async function readArguments(): Promise<{ readonly numbers: readonly number[]; readonly profiles: Profiles }> {
  const { values, positionals } = parseArgs({
    options: { profiles: { type: "string" }, node: { type: "string", multiple: true, default: [] } },
    allowPositionals: true,
  });
  return { numbers: positionals.map(Number), profiles: await createProfiles(values.profiles, values.node) };
}

async function createProfiles(folder: string | undefined, flags: readonly string[]): Promise<Profiles> {
  if (folder === undefined) return { flags, env: {}, during: (_, act) => act() };
  await mkdir(folder, { recursive: true });
  let count = 0;
  return {
    flags: [...flags, "--import", fileURLToPath(new URL("profile-here.ts", import.meta.url))],
    env: { BENCH_PROFILES: folder },
    async during(program, act) {
      count += 1;
      const file = join(folder, `${count}.cpuprofile`);
      await rm(file, { force: true });
      program.signal("SIGUSR2");
      try {
        return await act();
      } finally {
        program.signal("SIGUSR2");
        process.stdout.write(`${describe(await readProfile(file))}    ${file}\n`);
      }
    },
  };
}

interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const patienceMs = 60_000;

/** It is there when it is whole. */
async function readProfile(file: string): Promise<Profile> {
  for (const deadline = Date.now() + patienceMs; ; await delay(100))
    try {
      return JSON.parse(await readFile(file, "utf8")) as Profile;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
}

const least = 0.01;
/** What the beginning of the profile takes is not the program's. */
const profiler = "the profiler";

/** Shares of the time in which the program had something to do, by whose code ran. */
function describe({ nodes, samples, timeDeltas }: Profile): string {
  const owners = new Map(nodes.map(({ id, callFrame }) => [id, ownerOf(callFrame)]));
  const times = new Map<string, number>();
  for (const [at, id] of samples.entries()) {
    const owner = owners.get(id) ?? "";
    times.set(owner, (times.get(owner) ?? 0) + (timeDeltas[at] ?? 0));
  }
  for (const nothing of ["(idle)", profiler]) times.delete(nothing);
  const busy = [...times.values()].reduce((sum, time) => sum + time, 0);
  const lines = [...times]
    .filter(([, time]) => time > least * busy)
    .sort(([, one], [, other]) => other - one)
    .map(([owner, time]) => `    ${((time / busy) * 100).toFixed(0).padStart(3)} %  ${owner}\n`);
  return `    of ${(busy / 1e6).toFixed(1)} s of the program's time\n${lines.join("")}`;
}

function ownerOf({ functionName, url }: Profile["nodes"][number]["callFrame"]): string {
  if (functionName === "(program)") return "native code of Node.js and its libraries";
  if (functionName === "dispatch" && url === "") return profiler;
  if (url === "") return functionName.startsWith("(") ? functionName : "built into the language";
  const library = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (library !== undefined) return library;
  const room = /packages\/(\w+)\/src\/(?:([\w-]+)\/)?/.exec(url);
  return room === null ? url.replace(/^node:(?:internal\/)?(\w+).*$/, "Node.js: $1") : `${room[1]}: ${room[2] ?? "wiring"}`;
}
