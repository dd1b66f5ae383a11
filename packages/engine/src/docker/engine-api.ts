import { statfs } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import Docker from "dockerode";
import type { ContainerStatus, ObservedContainer } from "../observe/observed.ts";
import { observeProcess } from "../observe/process.ts";
import type { StoredImage } from "../render/images.ts";
import { label } from "../render/names.ts";
import type { LanSpec } from "../spec.ts";
import { createInspectCache, type Inspected } from "./inspect-cache.ts";

export interface EngineVersion {
  readonly version: string;
  readonly major: number;
}

export interface OwnNetwork {
  readonly name: string;
  readonly driver: string;
  readonly members: readonly { readonly decky: string; readonly address: string }[];
}

/** The Docker Engine as typed functions. Nothing here decides; an engine that does not answer is ENGINE_UNAVAILABLE, never an empty answer. */
export interface EngineApi {
  version(): Promise<EngineVersion>;
  /**
   * All containers of an installation, or of one of its deckies. One that the engine is just removing is waited for: it is as good as gone.
   * Costs one request, and one more for each container that changed since the last look or does not run.
   */
  listContainers(instance: string, decky?: string): Promise<{ decky: string; container: ObservedContainer }[]>;
  /** Which of these names are taken by containers that are not this installation's. */
  foreignNames(instance: string, names: readonly string[]): Promise<Set<string>>;
  hasImage(tag: string): Promise<boolean>;
  /** Images with a tag that begins so. */
  listImages(prefix: string): Promise<StoredImage[]>;
  /** Takes the tag away, and the image with its last tag; one that a container uses stays. */
  removeImage(tag: string): Promise<void>;
  /** Free bytes where the engine keeps images and containers; undefined when that cannot be seen from here. */
  freeDisk(): Promise<{ readonly folder: string; readonly bytes: number } | undefined>;
  hasNetwork(name: string): Promise<boolean>;
  createNetwork(lan: LanSpec, instance: string): Promise<void>;
  /** Networks of this installation with the deckies of ours on them, running or not, and their addresses there. */
  ownNetworks(instance: string): Promise<OwnNetwork[]>;
  /** Whether any container is on exactly this network, whoever's and in whatever state. */
  hasContainersOn(network: string): Promise<boolean>;
  /** One that a container uses stays. */
  removeNetwork(name: string): Promise<void>;
  start(id: string): Promise<void>;
  restart(id: string, graceSeconds: number): Promise<void>;
  stop(id: string, graceSeconds: number): Promise<void>;
  remove(id: string): Promise<void>;
  inspect(idOrName: string): Promise<ObservedContainer | undefined>;
  logTail(idOrName: string, lines: number): Promise<string[]>;
  followLogs(id: string, options: { tail: number; follow: boolean }): Promise<NodeJS.ReadableStream | Buffer>;
  demux: Docker["modem"]["demuxStream"];
  removeVolumes(instance: string, decky: string): Promise<void>;
  pull(reference: string): Promise<void>;
}

/** How long to wait for the engine's next word: while it removes a container, and until it notices that a process has ended. */
function patienceMs({ container, process }: Inspected): number {
  if (container.status === "removing") return 10_000;
  return container.pid !== 0 && process === undefined ? 2_000 : -1;
}

/** An engine that takes calls and does not answer them is away, too. */
const promptMs = 10_000;

export function createEngineApi(socketPath: string): EngineApi {
  const docker = new Docker({ socketPath, timeout: 120_000 });
  /** For what an engine answers at once, whatever its containers are doing. */
  const prompt = new Docker({ socketPath, timeout: promptMs });
  const cache = createInspectCache();
  const inspectOnce = async (idOrName: string): Promise<Inspected | undefined> => {
    const info = await absentIfGone(docker.getContainer(idOrName).inspect());
    return info === undefined ? undefined : toObserved(info);
  };
  const inspect = async (idOrName: string): ReturnType<typeof inspectOnce> => {
    const began = Date.now();
    for (;;) {
      const found = await inspectOnce(idOrName);
      if (found === undefined || Date.now() - began > patienceMs(found)) return found;
      await delay(25);
    }
  };
  const creating = new Map<string, Promise<void>>();
  return {
    version: () =>
      guarded(async () => {
        const { Version: version } = await prompt.version();
        return { version, major: Number.parseInt(version, 10) };
      }),
    listContainers: (instance, decky) =>
      guarded(async () => {
        const wanted = [`${label.instance}=${instance}`, ...(decky === undefined ? [] : [`${label.decky}=${decky}`])];
        const listed = await prompt.listContainers({ all: true, filters: JSON.stringify({ label: wanted }) });
        const entries = listed.map(({ Id, Names, State }) => ({ id: Id, name: Names[0]?.slice(1) ?? "", state: State }));
        cache.retain(entries, decky);
        const found: Inspected[] = [];
        for (let at = 0; at < entries.length; at += 16) {
          const batch = entries.slice(at, at + 16).map(async (entry) => (await cache.find(entry)) ?? inspect(entry.id));
          found.push(...(await Promise.all(batch)).filter((entry) => entry !== undefined));
        }
        for (const entry of found) cache.keep(entry);
        return found;
      }),
    foreignNames: (instance, names) =>
      guarded(async () => {
        if (names.length === 0) return new Set<string>();
        const filters = JSON.stringify({ name: names.map((name) => `^/${name}$`) });
        const listed = await docker.listContainers({ all: true, filters });
        const foreign = listed.filter((entry) => entry.Labels[label.instance] !== instance);
        return new Set(foreign.flatMap((entry) => entry.Names.map((name) => name.slice(1))));
      }),
    hasImage: (tag) => guarded(async () => (await absentIfGone(docker.getImage(tag).inspect())) !== undefined),
    listImages: (prefix) =>
      guarded(async () => {
        const [images, containers] = await Promise.all([docker.listImages(), docker.listContainers({ all: true })]);
        const used = new Set(containers.map((container) => container.ImageID));
        return images.flatMap(({ Id: id, Created: created, RepoTags: tags }) =>
          (tags ?? [])
            .filter((tag) => tag.startsWith(prefix))
            .map((tag) => ({ tag, createdAt: created * 1000, isUsed: used.has(id) })),
        );
      }),
    removeImage: (tag) => guarded(() => ignoring(409, ignoring(404, docker.getImage(tag).remove()))),
    freeDisk: () =>
      guarded(async () => {
        const { DockerRootDir: folder } = (await docker.info()) as { DockerRootDir: string };
        const disk = await statfs(folder).catch(() => undefined);
        return disk === undefined ? undefined : { folder, bytes: disk.bavail * disk.bsize };
      }),
    hasNetwork: (name) =>
      guarded(async () => {
        const listed = await docker.listNetworks({ filters: JSON.stringify({ name: [name] }) });
        return listed.some((network) => network.Name === name);
      }),
    createNetwork: (lan, instance) =>
      guarded(async () => {
        // Two deckies may want the network at the same moment: the second waits for the first's, and a later one finds it there.
        const other = creating.get(lan.name);
        if (other !== undefined) return other;
        const created = docker.createNetwork({
          Name: lan.name,
          // Below Engine 25 a name that is taken is a conflict only when asked for.
          CheckDuplicate: true,
          Driver: lan.driver,
          IPAM: { Driver: "default", Config: [{ Subnet: lan.subnet, Gateway: lan.gateway }] },
          Options: {
            ...(lan.parent === undefined ? {} : { parent: lan.parent }),
            ...(lan.driver === "ipvlan" ? { ipvlan_mode: "l2" } : {}),
          },
          Labels: { [label.instance]: instance },
        });
        const done = ignoring(409, created).finally(() => creating.delete(lan.name));
        creating.set(lan.name, done);
        return done;
      }),
    ownNetworks: (instance) =>
      guarded(async () => {
        const filters = JSON.stringify({ label: [`${label.instance}=${instance}`] });
        const [networks, containers] = await Promise.all([
          docker.listNetworks({ filters }),
          docker.listContainers({ all: true, filters }),
        ]);
        return networks.map(({ Name: name, Driver: driver }) => ({
          name,
          driver,
          members: containers.flatMap((container) => {
            const place = container.NetworkSettings.Networks[name];
            if (place === undefined) return [];
            return [{ decky: container.Labels[label.decky] ?? "", address: place.IPAMConfig?.IPv4Address ?? place.IPAddress }];
          }),
        }));
      }),
    hasContainersOn: (network) =>
      guarded(async () => {
        const filters = JSON.stringify({ network: [network] });
        return (await docker.listContainers({ all: true, limit: 1, filters })).length > 0;
      }),
    removeNetwork: (name) => guarded(() => ignoring(403, ignoring(404, docker.getNetwork(name).remove()))),
    start: (id) => guarded(() => ignoring(304, docker.getContainer(id).start())),
    restart: (id, graceSeconds) => guarded(() => docker.getContainer(id).restart({ t: graceSeconds })),
    stop: (id, graceSeconds) => guarded(() => ignoring(304, ignoring(404, docker.getContainer(id).stop({ t: graceSeconds })))),
    remove: (id) => guarded(() => ignoring(404, docker.getContainer(id).remove({ force: true }))),
    inspect: (idOrName) => guarded(async () => (await inspect(idOrName))?.container),
    logTail: (idOrName, lines) =>
      guarded(async () => {
        const raw = await absentIfGone(
          docker.getContainer(idOrName).logs({ stdout: true, stderr: true, tail: lines, follow: false }),
        );
        return raw === undefined ? [] : demultiplex(raw).slice(-lines);
      }),
    followLogs: (id, { tail, follow }) => {
      const common = { stdout: true, stderr: true, timestamps: true, tail } as const;
      return guarded<NodeJS.ReadableStream | Buffer>(() =>
        follow
          ? docker.getContainer(id).logs({ ...common, follow: true })
          : docker.getContainer(id).logs({ ...common, follow: false }),
      );
    },
    demux: docker.modem.demuxStream.bind(docker.modem),
    removeVolumes: (instance, decky) =>
      guarded(async () => {
        const filters = JSON.stringify({ label: [`${label.instance}=${instance}`, `${label.decky}=${decky}`] });
        const { Volumes: volumes } = await docker.listVolumes({ filters });
        await Promise.all(volumes.map((volume) => ignoring(404, docker.getVolume(volume.Name).remove())));
      }),
    pull: (reference) =>
      guarded(async () => {
        const stream = await docker.pull(reference);
        await new Promise<void>((resolve, reject) =>
          docker.modem.followProgress(stream, (error: Error | null) => (error === null ? resolve() : reject(error))),
        );
      }),
  };
}

/** What the containers say, attackers' words among it, goes through one pipe per container: eight bytes of header before each piece. */
function demultiplex(raw: Buffer): string[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= raw.length; ) {
    const size = raw.readUInt32BE(at + 4);
    pieces.push(raw.subarray(at + 8, at + 8 + size));
    at += 8 + size;
  }
  const lines = Buffer.concat(pieces).toString("utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => cleanText(line, 2_000));
}

async function toObserved(info: Docker.ContainerInspectInfo): Promise<Inspected> {
  const labels = info.Config.Labels;
  const mode = info.HostConfig.NetworkMode ?? "";
  const running = info.State.Running && !info.State.Restarting;
  const process = running ? await observeProcess(info.State.Pid) : undefined;
  const container: ObservedContainer = {
    id: info.Id,
    name: info.Name.slice(1),
    role: labels[label.role] === "base" ? "base" : "service",
    slug: labels[label.service] ?? "",
    hash: labels[label.hash] ?? "",
    catalogue: labels[label.catalogue] ?? "",
    status: info.State.Status as ContainerStatus,
    exitCode: info.State.ExitCode,
    composed: labels[label.composed],
    startedAt: info.State.StartedAt,
    restartCount: info.RestartCount,
    pid: running ? info.State.Pid : 0,
    netns: process?.netns,
    joined: mode.startsWith("container:") ? mode.slice("container:".length) : undefined,
  };
  return { decky: labels[label.decky] ?? "", container, process };
}

function statusOf(error: unknown): number | undefined {
  return typeof error === "object" && error !== null && "statusCode" in error && typeof error.statusCode === "number"
    ? error.statusCode
    : undefined;
}

async function absentIfGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

async function ignoring(status: number, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (statusOf(error) !== status) throw error;
  }
}

/** An answer of the engine is passed on as it is; no answer at all is ENGINE_UNAVAILABLE. */
async function guarded<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (statusOf(error) !== undefined || error instanceof AppError) throw error;
    throw new AppError("ENGINE_UNAVAILABLE", "the Docker engine does not answer", { cause: error, retryAfterMs: 2_000 });
  }
}
