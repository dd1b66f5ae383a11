import type Docker from "dockerode";
import type { Marked } from "../observe/leftovers.ts";
import { label } from "../render/names.ts";
import { guarded, ignoring } from "./calls.ts";

/** What the engine has with the label of any installation. */
export interface MarkedThings {
  readonly things: readonly Marked[];
  /** Folders of the projects that containers were made from, by installation. */
  readonly projects: ReadonlyMap<string, ReadonlySet<string>>;
}

export interface LeftoverCalls {
  marked(): Promise<MarkedThings>;
  /** Names of the containers on a network. One that never ran is known to be on it by the network's name alone. */
  usersOf(network: Pick<Marked, "id" | "name">): Promise<string[]>;
  /** By id; one that is gone is gone. */
  dropNetwork(id: string): Promise<void>;
  dropVolume(name: string): Promise<void>;
}

/** Compose's own. */
const workingDir = "com.docker.compose.project.working_dir";

export function createLeftoverCalls(docker: Docker, prompt: Docker): LeftoverCalls {
  const filters = JSON.stringify({ label: [label.instance] });
  return {
    marked: () =>
      guarded(async () => {
        const [containers, networks, { Volumes: volumes }] = await Promise.all([
          prompt.listContainers({ all: true, filters }),
          prompt.listNetworks({ filters }),
          prompt.listVolumes({ filters }),
        ]);
        const projects = new Map<string, Set<string>>();
        for (const { Labels: labels } of containers) {
          const { installation } = marks(labels);
          const folder = labels[workingDir];
          if (folder !== undefined) projects.set(installation, (projects.get(installation) ?? new Set()).add(folder));
        }
        const things: Marked[] = [
          ...containers.map(({ Id: id, Names: [name = ""], Labels: labels }): Marked => {
            return { kind: "container", id, name: name.slice(1), ...marks(labels) };
          }),
          ...networks.map(({ Id: id, Name: name, Labels: labels }): Marked => {
            return { kind: "network", id, name, ...marks(labels), lan: name };
          }),
          ...volumes.map(({ Name: name, Labels: labels }): Marked => ({ kind: "volume", id: name, name, ...marks(labels) })),
        ];
        return { things: things.filter(({ installation }) => installation !== ""), projects };
      }),
    usersOf: ({ id, name }) =>
      guarded(async () => {
        const listed = await prompt.listContainers({ all: true, filters: JSON.stringify({ network: [id, name] }) });
        return listed.map(({ Names: [user = ""] }) => user.slice(1));
      }),
    dropNetwork: (id) => guarded(() => ignoring(404, docker.getNetwork(id).remove())),
    dropVolume: (name) => guarded(() => ignoring(404, docker.getVolume(name).remove())),
  };
}

function marks(labels: Readonly<Record<string, string | undefined>> | null | undefined) {
  return { installation: labels?.[label.instance] ?? "", decky: labels?.[label.decky] ?? "" };
}
