import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { isNotObserved, notObserved } from "../observe/not-observed.ts";
import type { Attachment, ContainerStatus, NameHolder, ObservedContainer, WritablePlace } from "../observe/observed.ts";
import { observeProcess } from "../observe/process.ts";
import { observeUpperFolder } from "../observe/root-mount.ts";
import { traitsOf } from "../observe/traits.ts";
import { label } from "../render/names.ts";
import { absentIfGone, guarded, ignoring } from "./calls.ts";
import { createInspectCache, type Inspected } from "./inspect-cache.ts";
import { endingLost, endUnlessStarted } from "./lost-processes.ts";
import { createUpdateWatch } from "./update-watch.ts";

export interface ContainerCalls {
  /**
   * All containers of an installation, or of one of its deckies. One that the engine is removing is waited for: it is as good as
   * gone. Costs one request, and one more for each container that changed since the last call or does not run. Throws
   * NOT_OBSERVED for one that cannot be seen, or tells `onProblem` of whose it is and leaves it out.
   */
  listContainers(
    instance: string,
    decky?: string,
    onProblem?: (decky: string, problem: Error) => void,
  ): Promise<{ decky: string; container: ObservedContainer }[]>;
  /** Which of these names are taken, and by whom. */
  nameHolders(instance: string, names: readonly string[]): Promise<Map<string, NameHolder>>;
  rename(id: string, name: string): Promise<void>;
  start(id: string): Promise<void>;
  restart(id: string, graceSeconds: number): Promise<void>;
  stop(id: string, graceSeconds: number): Promise<void>;
  remove(id: string): Promise<void>;
  inspect(idOrName: string): Promise<ObservedContainer | undefined>;
}

const mostPatienceMs = 10_000;

/**
 * How long to ask again: while the engine removes a container, and until it notices that a process has ended, which takes it a
 * while when the host has much to do. One that ends again and again is another process each time.
 */
function patienceMs({ container, process }: Inspected, sameProcessMs: number): number {
  if (container.status === "removing") return mostPatienceMs;
  if (container.pid === 0 || process !== undefined) return -1;
  return sameProcessMs < 2_000 ? mostPatienceMs : -1;
}

export interface Clients {
  readonly docker: Docker;
  /** With a short timeout: for calls that no container can hold up. */
  readonly prompt: Docker;
  /** With none. */
  readonly patient: Docker;
  /** The engine was away, and is there again. */
  readonly onReturn?: (() => void) | undefined;
}

export function createContainerCalls({ docker, prompt, patient, onReturn }: Clients): ContainerCalls {
  const cache = createInspectCache();
  const updates = createUpdateWatch(patient, cache, onReturn);
  const lastExitCodes = createExitCodes();
  const inspectOnce = async (idOrName: string): Promise<Inspected | undefined> => {
    const info = await absentIfGone(docker.getContainer(idOrName).inspect());
    return info === undefined ? undefined : lastExitCodes.note(await toObserved(info));
  };
  const inspect = async (idOrName: string): ReturnType<typeof inspectOnce> => {
    const began = Date.now();
    let seen = { pid: 0, since: began };
    for (;;) {
      const found = await inspectOnce(idOrName);
      const pid = found?.container.pid ?? 0;
      if (pid !== seen.pid) seen = { pid, since: Date.now() };
      if (found === undefined || Date.now() - began > patienceMs(found, Date.now() - seen.since))
        return found === undefined ? found : certain(found);
      await delay(25);
    }
  };
  return {
    listContainers: (instance, decky, onProblem) =>
      guarded(async () => {
        await updates.ensure();
        const wanted = [`${label.instance}=${instance}`, ...(decky === undefined ? [] : [`${label.decky}=${decky}`])];
        const listed = await prompt.listContainers({ all: true, filters: JSON.stringify({ label: wanted }) });
        const entries = listed.map(({ Id, Names, State, Labels, NetworkSettings: places }) => ({
          id: Id,
          name: Names[0]?.slice(1) ?? "",
          state: State,
          attachments: attachmentsOf(places?.Networks),
          decky: Labels[label.decky] ?? "",
        }));
        cache.retain(entries, decky);
        if (decky === undefined) lastExitCodes.retain(new Set(entries.map(({ id }) => id)));
        const look = async (entry: (typeof entries)[number]) => {
          try {
            return (await cache.find(entry)) ?? (await inspect(entry.id));
          } catch (error) {
            if (onProblem === undefined || !isNotObserved(error)) throw error;
            onProblem(entry.decky, error);
            return undefined;
          }
        };
        const found: Inspected[] = [];
        for (let at = 0; at < entries.length; at += 16) {
          const batch = await Promise.all(entries.slice(at, at + 16).map(look));
          found.push(...batch.filter((entry) => entry !== undefined));
        }
        for (const entry of found) cache.keep(entry);
        return found;
      }),
    nameHolders: (instance, names) =>
      guarded(async () => {
        if (names.length === 0) return new Map<string, NameHolder>();
        const filters = JSON.stringify({ name: names.map((name) => `^/${name}$`) });
        const listed = await docker.listContainers({ all: true, filters });
        return new Map(
          listed.flatMap(({ Id: id, Names, Labels }) =>
            Names.map((name) => [name.slice(1), { id, isOurs: Labels[label.instance] === instance }] as const),
          ),
        );
      }),
    rename: (id, name) => guarded(() => docker.getContainer(id).rename({ name })),
    start: (id) => guarded(() => ignoring(304, docker.getContainer(id).start())),
    restart: (id, graceSeconds) =>
      guarded(async () => {
        await endingLost(id, () => docker.getContainer(id).restart({ t: graceSeconds }));
        await endUnlessStarted(
          id,
          async () => (await absentIfGone(docker.getContainer(id).inspect()))?.State.Restarting === true,
        );
      }),
    stop: (id, graceSeconds) =>
      guarded(() =>
        ignoring(
          304,
          ignoring(
            404,
            endingLost(id, () => docker.getContainer(id).stop({ t: graceSeconds })),
          ),
        ),
      ),
    remove: (id) =>
      guarded(() =>
        ignoring(
          404,
          endingLost(id, () => docker.getContainer(id).remove({ force: true })),
        ),
      ),
    inspect: (idOrName) => guarded(async () => (await inspect(idOrName))?.container),
  };
}

/** Without its process nothing is known of where a container runs. */
function certain(inspected: Inspected): Inspected {
  const { container, process } = inspected;
  if (container.pid === 0 || process !== undefined) return inspected;
  throw notObserved(`the engine says that ${container.name} runs as process ${container.pid}, which cannot be seen here`);
}

/** How containers ended that the engine started again. */
function createExitCodes() {
  const codes = new Map<string, number>();
  return {
    note(inspected: Inspected): Inspected {
      const { container } = inspected;
      if (container.status === "restarting" || container.status === "exited") codes.set(container.id, container.exitCode);
      const lastExitCode = codes.get(container.id);
      if (container.status !== "running" || lastExitCode === undefined) return inspected;
      return { ...inspected, container: { ...container, lastExitCode } };
    },
    retain(ids: ReadonlySet<string>): void {
      for (const id of codes.keys()) if (!ids.has(id)) codes.delete(id);
    },
  };
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
    service: labels[label.service] ?? "",
    hash: labels[label.hash] ?? "",
    catalog: labels[label.catalog] ?? "",
    status: info.State.Status as ContainerStatus,
    exitCode: info.State.ExitCode,
    composedAs: [labels[label.composeProject], labels[label.composeService]].filter((each) => each !== undefined).join("/"),
    traits: traitsOf(info),
    attachments: attachmentsOf(info.NetworkSettings.Networks),
    startedAt: info.State.StartedAt,
    restartCount: info.RestartCount,
    ...(info.State.Restarting ? { endedAt: info.State.FinishedAt } : {}),
    pid: running ? info.State.Pid : 0,
    netns: process?.netns,
    writable: writablePlaces(info, process === undefined ? 0 : info.State.Pid),
    joined: mode.startsWith("container:") ? mode.slice("container:".length) : undefined,
  };
  return { decky: labels[label.decky] ?? "", container, process };
}

/** Of the engine's own kinds: what a container writes through a bind mount is none of ours. */
function writablePlaces({ GraphDriver: driver, Mounts: mounts }: Docker.ContainerInspectInfo, pid: number): WritablePlace[] {
  const told = (driver as { Data?: Readonly<Record<string, string>> | null } | undefined)?.Data?.["UpperDir"];
  // Engines that leave their images to containerd do not tell.
  const layer = told ?? (pid === 0 ? undefined : observeUpperFolder(pid));
  return [
    ...(layer === undefined ? [] : [{ kind: "layer", name: "", folder: layer } as const]),
    ...mounts
      .filter(({ Type: type, RW: isWritable }) => type === "volume" && isWritable)
      .map(({ Name: name = "", Source: folder }) => ({ kind: "volume", name, folder }) as const),
  ];
}

interface Place {
  readonly NetworkID: string;
  readonly IPAddress: string;
  readonly MacAddress: string;
  readonly IPAMConfig?: { readonly IPv4Address?: string | undefined } | null | undefined;
}

function attachmentsOf(places: Readonly<Record<string, Place>> | undefined): Attachment[] {
  return Object.entries(places ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([network, { NetworkID, IPAddress, MacAddress, IPAMConfig }]) => ({
      network,
      networkId: NetworkID,
      pinned: IPAMConfig?.IPv4Address ?? "",
      address: IPAddress,
      mac: MacAddress.toLowerCase(),
    }));
}
