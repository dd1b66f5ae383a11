import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ObservedContainer } from "@decnet/engine/observe/observed";
import type { KeptContainers } from "./memory-engine.ts";

/** Containers in a folder: they outlive whoever drives their engine, as real ones do, also one that is killed in the middle. */
export function keepContainers(folder: string): KeptContainers {
  mkdirSync(folder, { recursive: true });
  const fileOf = (key: string) => join(folder, `${key.replace("/", "__")}.json`);
  return {
    load: () =>
      readdirSync(folder)
        .filter((name) => name.endsWith(".json"))
        .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as [string, ObservedContainer[]]),
    save(key, containers) {
      if (containers.length === 0) return rmSync(fileOf(key), { force: true });
      writeFileSync(`${fileOf(key)}.new`, JSON.stringify([key, containers]));
      renameSync(`${fileOf(key)}.new`, fileOf(key));
    },
  };
}
