import { createHash } from "node:crypto";
import { join } from "node:path";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { EngineOptions } from "@decnet/engine/engine";
import { observeHardLimits } from "@decnet/engine/observe/engine-limits";
import { deckyNames } from "@decnet/engine/render/names";
import type { RenderContext } from "@decnet/engine/render/render-decky";
import type { DeckySpec, ServiceSpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { baseContents } from "./service-images.ts";
import { configFor, containersOf, dockerLines, type Place } from "./use-master.ts";

/** Engines before this one take no MAC address for a network. */
const firstThatPins = 25;

export async function pinsMac(): Promise<boolean> {
  const [version = ""] = await dockerLines(["version", "--format", "{{.Server.Version}}"]);
  return Number.parseInt(version, 10) >= firstThatPins;
}

/** A decky of the place's own, as the master would ask for it. */
export function specIn(place: Place, services: readonly ServiceSpec[]): DeckySpec {
  const { name, subnet } = place.lan;
  const address = (host: number) => subnet.replace("0/24", String(host));
  return {
    scope: "fleet",
    name: `${place.prefix}-a`,
    revision: 1,
    hostname: "conformance",
    baseImage: debianBase,
    buildBase: debianBase,
    osFamily: "linux",
    attachments: [
      {
        lan: { name, driver: "bridge", subnet, gateway: address(1), parent: undefined },
        ip: address(7),
        mac: "52:54:00:12:34:56",
      },
    ],
    forwards: false,
    services,
  };
}

export async function engineOptions(place: Place): Promise<EngineOptions & { readonly composePath: string | undefined }> {
  const { dockerSocket, composePath, catalogFolders } = configFor(place);
  return {
    instance: place.prefix,
    dataDir: place.dataDir,
    catalog: await loadCatalog(catalogFolders),
    fingerprint: (text) => createHash("sha256").update(text).digest("hex"),
    socketPath: dockerSocket,
    composePath,
  };
}

export async function renderContext(place: Place, pinMac: boolean): Promise<RenderContext> {
  const projectDir = join(place.dataDir, "deckies", deckyNames("fleet", `${place.prefix}-a`).base);
  return {
    ...(await engineOptions(place)),
    projectDir,
    pinMac,
    limits: await observeHardLimits(),
    contents: await baseContents(),
  };
}

/**
 * `docker compose` as an operator types it, from the program under test. Its environment has a LEAK that no container may
 * see.
 */
export function compose(place: Place, args: readonly string[], input?: object) {
  const { composePath } = configFor(place);
  const [file, ...first] = composePath === undefined ? ["docker", "compose"] : [composePath];
  return execa(file, [...first, "--ansi", "never", "--progress", "plain", ...args], {
    env: { LEAK: "leaked" },
    reject: false,
    all: true,
    timeout: 60_000,
    ...(input === undefined ? { stdin: "ignore" as const } : { input: JSON.stringify(input) }),
  });
}

/** Names of the containers that `act` removed, recreated or restarted. */
export async function changedBy(prefix: string, act: () => Promise<unknown>): Promise<string[]> {
  const before = await containersOf(prefix);
  await act();
  const after = await containersOf(prefix);
  return [...before].flatMap(([name, facts]) => (after.get(name) === facts ? [] : [name]));
}
