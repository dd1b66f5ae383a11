import { AppError } from "@decnet/common/errors/app-error";
import type Docker from "dockerode";
import { type AddressHolder, type EngineNetwork, foreignness, type LanRights, type Resident } from "../observe/lan.ts";
import { label } from "../render/names.ts";
import type { LanSpec } from "../spec.ts";
import { guarded, ignoring } from "./calls.ts";

export interface OwnNetwork {
  readonly name: string;
  readonly driver: string;
  /** It has no label of ours: an operator made it, and adopted it. */
  readonly isAdopted: boolean;
  /** Of a bridge: the interface by which it reaches the host. */
  readonly bridge: string;
  readonly members: readonly { readonly decky: string; readonly address: string }[];
}

export interface NetworkCalls {
  /** Every network of the engine by its name. */
  networks(): Promise<Map<string, EngineNetwork>>;
  /** Does nothing when the container is not on the network, or one of the two is gone. */
  leaveNetwork(network: string, container: string): Promise<void>;
  /** Everybody on a network who has an address there, or would take it. */
  residents(network: string, instance: string): Promise<Resident[]>;
  /** One that is there already is taken as it is if it is ours, or adopted; throws APPLY_FAILED otherwise. */
  createNetwork(lan: LanSpec, rights: LanRights): Promise<void>;
  /** Networks of this installation and adopted ones, with the deckies of ours on them, running or not, and their addresses. */
  ownNetworks(rights: LanRights): Promise<OwnNetwork[]>;
  /** Whether any container is on exactly this network, also a foreign or a stopped one. */
  hasContainersOn(network: string): Promise<boolean>;
  /** One that a container uses stays. */
  removeNetwork(name: string): Promise<void>;
}

const mtuOption = "com.docker.network.driver.mtu";
const bridgeOption = "com.docker.network.bridge.name";

/** What an engine may be configured to make of every bridge: deckies reach each other, and are routed like any machine. */
const bridgeOptions = {
  "com.docker.network.bridge.enable_icc": "true",
  "com.docker.network.bridge.enable_ip_masquerade": "true",
} as const;

/** A container has its address from its start to its end. */
function isUp(state: string): boolean {
  return state !== "created" && state !== "exited" && state !== "dead";
}

function toNetwork({ Id: id, Name: name, Driver: driver, ...rest }: Docker.NetworkInspectInfo): EngineNetwork {
  const { IPAM: ipam, Options: options, Labels: labels } = rest;
  const configs: NetworkConfig[] = ipam?.Config ?? [];
  const mtu = Number(options?.[mtuOption]);
  return {
    id,
    name,
    driver,
    subnet: configs[0]?.Subnet ?? "",
    subnets: configs.flatMap(({ Subnet: subnet }) => (subnet === undefined ? [] : [subnet])),
    kept: configs.flatMap(({ Gateway: gateway, AuxiliaryAddresses: others }): AddressHolder[] => [
      ...(gateway === undefined ? [] : [{ address: gateway, holder: "the network's gateway" }]),
      ...Object.entries(others ?? {}).map(([key, address = ""]) => ({ address, holder: `the network itself, for ${key}` })),
    ]),
    mtu: Number.isInteger(mtu) && mtu > 0 ? mtu : undefined,
    owner: labels?.[label.instance] ?? "",
    isInternal: rest.Internal,
    bridge: driver === "bridge" ? (options?.[bridgeOption] ?? `br-${id.slice(0, 12)}`) : "",
    parent: options?.["parent"] ?? "",
  };
}

function isOurs({ owner, name }: EngineNetwork, { instance, adopted }: LanRights): boolean {
  return owner === instance || adopted.has(name);
}

interface NetworkConfig {
  readonly Subnet?: string | undefined;
  readonly Gateway?: string | undefined;
  readonly AuxiliaryAddresses?: Readonly<Partial<Record<string, string>>> | null | undefined;
}

/** Somebody may have made a network of that name since the plan was made. */
async function refuseForeign(docker: Docker, lan: LanSpec, rights: LanRights): Promise<void> {
  const { name } = lan;
  const listed = await docker.listNetworks({ filters: JSON.stringify({ name: [name] }) });
  const made = listed.map(toNetwork).find((network) => network.name === name);
  const trouble = made === undefined ? `the Docker network ${name} is gone again` : foreignness(made, lan, rights);
  if (trouble !== undefined) throw new AppError("APPLY_FAILED", trouble);
}

/** `prompt` has a short timeout: for calls that others wait for. */
export function createNetworkCalls(docker: Docker, prompt: Docker): NetworkCalls {
  const creating = new Map<string, Promise<void>>();
  return {
    networks: () =>
      guarded(async () => {
        const listed = await prompt.listNetworks();
        return new Map(listed.map((network) => [network.Name, toNetwork(network)] as const));
      }),
    leaveNetwork: (network, container) =>
      guarded(() => ignoring(403, ignoring(404, docker.getNetwork(network).disconnect({ Container: container, Force: true })))),
    residents: (network, instance) =>
      guarded(async () => {
        const filters = JSON.stringify({ network: [network] });
        const containers = await prompt.listContainers({ all: true, filters });
        return containers.flatMap(({ Names: names, Labels: labels, State: state, NetworkSettings: { Networks: places } }) => {
          const place = places[network];
          const address = place?.IPAddress || place?.IPAMConfig?.IPv4Address || "";
          if (address === "") return [];
          const holder = `the container ${names[0]?.slice(1) ?? ""}`;
          return [{ address, holder, isOurs: labels[label.instance] === instance, isUp: isUp(state) }];
        });
      }),
    createNetwork: (lan, rights) =>
      guarded(async () => {
        // Two deckies may want the network at the same moment: the second waits for the first.
        const other = creating.get(lan.name);
        if (other !== undefined) return other;
        const created = docker.createNetwork({
          Name: lan.name,
          // Below Engine 25 a name that is taken is a conflict only when asked for.
          CheckDuplicate: true,
          Driver: lan.driver,
          Internal: lan.internal ?? false,
          IPAM: { Driver: "default", Config: [{ Subnet: lan.subnet, Gateway: lan.gateway }] },
          Options: {
            ...(lan.parent === undefined ? {} : { parent: lan.parent }),
            ...(lan.driver === "ipvlan" ? { ipvlan_mode: "l2" } : {}),
            ...(lan.driver === "bridge" ? bridgeOptions : {}),
            ...(lan.mtu === undefined ? {} : { [mtuOption]: String(lan.mtu) }),
          },
          Labels: { [label.instance]: rights.instance },
        });
        const done = ignoring(409, created)
          .then(() => refuseForeign(docker, lan, rights))
          .finally(() => creating.delete(lan.name));
        creating.set(lan.name, done);
        return done;
      }),
    ownNetworks: (rights) =>
      guarded(async () => {
        const filters = JSON.stringify({ label: [`${label.instance}=${rights.instance}`] });
        const [networks, containers] = await Promise.all([
          docker.listNetworks(rights.adopted.size === 0 ? { filters } : {}),
          docker.listContainers({ all: true, filters }),
        ]);
        const own = networks.map(toNetwork).filter((network) => isOurs(network, rights));
        return own.map(({ name, driver, owner, bridge }) => ({
          name,
          driver,
          isAdopted: owner !== rights.instance,
          bridge,
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
