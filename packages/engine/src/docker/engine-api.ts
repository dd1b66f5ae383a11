import { randomBytes } from "node:crypto";
import { statfs } from "node:fs/promises";
import Docker from "dockerode";
import { unlessAbsentLater } from "../observe/not-observed.ts";
import type { EngineStorage } from "../observe/observe-disk-bounds.ts";
import type { EngineSecurity } from "../observe/user-mapping.ts";
import { label } from "../render/names.ts";
import { guarded, ignoring, statusOf } from "./calls.ts";
import { type ContainerCalls, createContainerCalls } from "./container-calls.ts";
import { createImageCalls, type ImageCalls } from "./image-calls.ts";
import { createLeftoverCalls, type LeftoverCalls } from "./leftover-calls.ts";
import { createLogCalls, type LogCalls } from "./log-calls.ts";
import { createNetworkCalls, type NetworkCalls } from "./network-calls.ts";

export interface EngineVersion {
  readonly version: string;
  readonly major: number;
}

/**
 * The Docker Engine as typed functions. Nothing here decides; an engine that does not answer is ENGINE_UNAVAILABLE, never an
 * empty result.
 */
export interface EngineApi extends ContainerCalls, ImageCalls, LeftoverCalls, LogCalls, NetworkCalls {
  /** Throws when it is away. Asked every second: for its version an engine starts several programs. */
  ping(): Promise<void>;
  version(): Promise<EngineVersion>;
  security(): Promise<EngineSecurity>;
  storage(): Promise<EngineStorage>;
  /** Whether its own volumes can have a size, found by making one. */
  sizesVolumes(instance: string): Promise<boolean>;
  /** Free bytes where the engine keeps images and containers; undefined when that cannot be seen from here. */
  freeDisk(): Promise<{ readonly folder: string; readonly bytes: number } | undefined>;
  removeVolumes(instance: string, decky: string): Promise<void>;
}

/** An engine that accepts calls and does not answer them counts as away, too. */
const promptMs = 10_000;

/** `onReturn` is called when the engine was away and is there again: its containers were started again, most likely. */
export function createEngineApi(socketPath: string, onReturn?: () => void): EngineApi {
  const docker = new Docker({ socketPath, timeout: 120_000 });
  const prompt = new Docker({ socketPath, timeout: promptMs });
  return {
    ...createContainerCalls({ docker, prompt, patient: new Docker({ socketPath }), onReturn }),
    ...createImageCalls(docker),
    ...createLeftoverCalls(docker, prompt),
    ...createLogCalls(docker),
    ...createNetworkCalls(docker, prompt),
    ping: () =>
      guarded(async () => {
        await prompt.ping();
      }),
    version: () =>
      guarded(async () => {
        const { Version: version } = await prompt.version();
        return { version, major: Number.parseInt(version, 10) };
      }),
    security: () =>
      guarded(async () => {
        const { SecurityOptions: options, DockerRootDir: rootFolder } = (await prompt.info()) as {
          SecurityOptions: string[] | null;
          DockerRootDir: string;
        };
        return { options: options ?? [], rootFolder };
      }),
    storage: () =>
      guarded(async () => {
        const info = (await prompt.info()) as { Driver: string; DriverStatus: [string, string][] | null; DockerRootDir: string };
        const backing = info.DriverStatus?.find(([name]) => name === "Backing Filesystem")?.[1];
        return { driver: info.Driver, backing: backing ?? "", rootFolder: info.DockerRootDir };
      }),
    sizesVolumes: (instance) => guarded(() => trySizedVolume(prompt, instance)),
    freeDisk: () =>
      guarded(async () => {
        const { DockerRootDir: folder } = (await docker.info()) as { DockerRootDir: string };
        const disk = await unlessAbsentLater(() => statfs(folder));
        return disk === undefined ? undefined : { folder, bytes: disk.bavail * disk.bsize };
      }),
    removeVolumes: (instance, decky) =>
      guarded(async () => {
        const filters = JSON.stringify({ label: [`${label.instance}=${instance}`, `${label.decky}=${decky}`] });
        const { Volumes: volumes } = await docker.listVolumes({ filters });
        await Promise.all(volumes.map((volume) => ignoring(404, docker.getVolume(volume.Name).remove())));
      }),
  };
}

/**
 * Never the same name twice: an engine takes a folder that it once gave a size to for one that has it still. One that was left by
 * a look that was cut off goes with the next.
 */
async function trySizedVolume(docker: Docker, instance: string): Promise<boolean> {
  const mark = { "decnet.probe": instance };
  const filters = JSON.stringify({ label: [`decnet.probe=${instance}`] });
  const { Volumes: left } = await docker.listVolumes({ filters });
  await Promise.all((left ?? []).map(({ Name: name }) => ignoring(409, ignoring(404, docker.getVolume(name).remove()))));
  const name = `decnet-probe-${randomBytes(8).toString("hex")}`;
  try {
    await docker.createVolume({ Name: name, Labels: mark, DriverOpts: { size: "1m" } });
  } catch (error) {
    if (statusOf(error) === undefined) throw error;
    return false;
  }
  await ignoring(404, docker.getVolume(name).remove());
  return true;
}
