import type Docker from "dockerode";
import type { ObservedNetwork } from "../observe/observed.ts";
import { label } from "../render/names.ts";
import type { LanSpec } from "../spec.ts";
import { guarded, ignoring } from "./calls.ts";

export interface OwnNetwork {
  readonly name: string;
  readonly driver: string;
  readonly members: readonly { readonly decky: string; readonly address: string }[];
}

export interface NetworkCalls {
  /** Every network of the engine by its name. */
  networks(): Promise<Map<string, ObservedNetwork>>;
  /** Does nothing when the container is not on the network, or one of the two is gone. */
  leaveNetwork(network: string, container: string): Promise<void>;
  createNetwork(lan: LanSpec, instance: string): Promise<void>;
  /** Networks of this installation with the deckies of ours on them, running or not, and their addresses there. */
  ownNetworks(instance: string): Promise<OwnNetwork[]>;
  /** Whether any container is on exactly this network, also a foreign or a stopped one. */
  hasContainersOn(network: string): Promise<boolean>;
  /** One that a container uses stays. */
  removeNetwork(name: string): Promise<void>;
}

export function createNetworkCalls(docker: Docker): NetworkCalls {
  const creating = new Map<string, Promise<void>>();
  return {
    networks: () =>
      guarded(async () => {
        const listed = await docker.listNetworks();
        return new Map(
          listed.map(({ Name, Id: id, IPAM }) => [Name, { id, subnet: IPAM?.Config?.[0]?.["Subnet"] ?? "" }] as const),
        );
      }),
    leaveNetwork: (network, container) =>
      guarded(() => ignoring(403, ignoring(404, docker.getNetwork(network).disconnect({ Container: container, Force: true })))),
    createNetwork: (lan, instance) =>
      guarded(async () => {
        // Two deckies may want the network at the same moment: the second waits for the first.
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
  };
}
