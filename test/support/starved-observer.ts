import { closeSync, openSync } from "node:fs";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { createMadeStore } from "@decnet/engine/execute/made-containers";
import { createDiskWatch } from "@decnet/engine/observe/disk-use";
import { createExhaustionWatch } from "@decnet/engine/observe/exhaustion";
import { observeInterfaces } from "@decnet/engine/observe/interfaces";
import { observeDeckies } from "@decnet/engine/observe/observe-decky";
import { createProjectObserver } from "@decnet/engine/observe/observe-project";
import { createHolderSearch } from "@decnet/engine/observe/port-holders";
import { readSocketTables } from "@decnet/engine/observe/proc-sockets";
import { observeProcess } from "@decnet/engine/observe/process";
import { createSocketCache } from "@decnet/engine/observe/socket-cache";

/** Observes an installation three times, the second time with no descriptor left, and prints what each observer said. */
const [instance = "", key = "", socketPath = ""] = process.argv.slice(2);
const api = createEngineApi(socketPath);
const sources = {
  api,
  instance,
  sockets: createSocketCache(new Set(["6379/tcp"])),
  exhaustion: createExhaustionWatch(),
  disk: createDiskWatch(),
};

async function said(observe: () => Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await observe());
  } catch (error) {
    return error instanceof Error ? `${"reason" in error ? String(error.reason) : error.name}: ${error.message}` : String(error);
  }
}

async function observeAll(): Promise<Record<string, string>> {
  return {
    process: await said(async () => (await observeProcess(process.pid))?.netns),
    sockets: await said(async () => (await readSocketTables(process.pid))?.listeners.length),
    holders: await said(async () => (await createHolderSearch().find(new Set(["1"]), [])).size),
    files: await said(() => createProjectObserver().observe("/etc", [{ path: "hostname", content: "", owner: 0, mode: 0o644 }])),
    interfaces: await said(async () => observeInterfaces(process.pid) !== undefined),
    made: await said(() => createMadeStore("/etc").of({ scope: "fleet", name: "none" })),
    engine: await said(async () => (await api.listContainers(instance)).length),
    decky: await said(async () => {
      const deckies: unknown[] = [];
      for await (const [, found] of observeDeckies(sources, [key]))
        deckies.push(found instanceof Error ? found.message : found.containers.length);
      return deckies;
    }),
  };
}

const before = await observeAll();
const open: number[] = [];
try {
  for (;;) open.push(openSync("/dev/null", "r"));
} catch {
  // That was the last one.
}
const starved = await observeAll();
for (const descriptor of open) closeSync(descriptor);
const after = await observeAll();
process.stdout.write(`${JSON.stringify({ before, starved, after })}\n`);
process.exit(0);
