import { join } from "node:path";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import type { Catalog } from "../catalog/types.ts";
import { defaultPatience, type Patience } from "../diagnose/diagnose.ts";
import type { DiskPolicy } from "../diagnose/disk.ts";
import { type CommandTimeouts, type ComposeCli, createComposeCli, dockerConfigOf } from "../docker/compose.ts";
import { createEngineApi, type EngineApi } from "../docker/engine-api.ts";
import { type Admissions, createAdmissions } from "../execute/admissions.ts";
import { type BuiltImages, createBuiltImages } from "../execute/built-images.ts";
import { type Containment, createContainment } from "../execute/containment.ts";
import type { StepBoundary } from "../execute/execute-plan.ts";
import { type Guards, openGuards } from "../execute/guards.ts";
import { createHostLinks, type HostLinks } from "../execute/host-links.ts";
import { createImageStore, type ImageStore } from "../execute/image-store.ts";
import { createLanUse, type LanUse } from "../execute/lan-use.ts";
import { type LeftNetworks, openLeftNetworks } from "../execute/left-networks.ts";
import { createMadeStore, type MadeStore } from "../execute/made-containers.ts";
import { createPublisher, type Publisher } from "../execute/publisher.ts";
import { type BaseContents, createBaseContents } from "../observe/base-contents.ts";
import { createDiskWatch, type DiskWatch } from "../observe/disk-use.ts";
import { observeHardLimits } from "../observe/engine-limits.ts";
import { createExhaustionWatch, type ExhaustionWatch } from "../observe/exhaustion.ts";
import type { ObservedLinks } from "../observe/host-access.ts";
import type { LanRights } from "../observe/lan.ts";
import { observeDiskBounds } from "../observe/observe-disk-bounds.ts";
import { createProjectObserver, type ProjectObserver } from "../observe/observe-project.ts";
import { createSocketCache, type SocketCache } from "../observe/socket-cache.ts";
import { type UserMapping, userMappingOf } from "../observe/user-mapping.ts";
import { deckyNames } from "../render/names.ts";
import { createRenderer, type Renderer } from "../render/renderer.ts";
import type { Scope } from "../spec.ts";

export interface EngineOptions {
  /** Marks what belongs to this installation; nothing without it is touched. */
  readonly instance: string;
  /** Projects live in `<dataDir>/deckies/<name>`. */
  readonly dataDir: string;
  readonly catalog: Catalog;
  /** Keyed hash, hex. */
  readonly fingerprint: (text: string) => string;
  readonly socketPath: string;
  readonly timeouts?: CommandTimeouts;
  /** The docker-compose program to run; undefined: found where Docker looks. */
  readonly composePath?: string | undefined;
  /** A build is not begun with less free disk than this; one GiB when not given. */
  readonly minFreeBytes?: number;
  /** A service that stays out of processes or memory for so long is restarted; 0: never. */
  readonly exhaustedRestartMs?: number;
  /** Names of networks of this host that deckies may be on although somebody else made them. */
  readonly adoptedNetworks?: readonly string[];
  /** Whether deckies are kept from the ports of this host; they are when it is not said. */
  readonly isContaining?: boolean;
  /** What is done about services that take more of the disk than they may. */
  readonly disk?: DiskPolicy;
  /** Whether what services write is bounded where the engine can; it is when it is not said. */
  readonly isBoundingDisk?: boolean;
  readonly boundary?: StepBoundary;
  /** The engine was away and is there again: what its containers had from us, they lost. */
  readonly onReturn?: () => void;
}

/** What everything that is done on one host works with. */
export interface HostParts {
  readonly instance: string;
  readonly catalog: Catalog;
  readonly engineVersion: string;
  /** False below Engine 25, where compose cannot pin MAC addresses. */
  readonly pinMac: boolean;
  /** Whom the engine's users are on this host. */
  readonly users: UserMapping;
  readonly api: EngineApi;
  readonly compose: ComposeCli;
  readonly links: HostLinks;
  readonly observeLinks: () => Promise<ObservedLinks>;
  readonly lanUse: LanUse;
  readonly rights: LanRights;
  readonly containment: Containment;
  readonly publisher: Publisher;
  readonly guards: Guards;
  readonly admissions: Admissions;
  readonly sockets: SocketCache;
  readonly made: MadeStore;
  readonly left: LeftNetworks;
  readonly projects: ProjectObserver;
  readonly exhaustion: ExhaustionWatch;
  readonly disk: DiskWatch;
  /** Why this host does not know what containers write; undefined: it does. */
  readonly blindness: string | undefined;
  /** What the diagnoses here are made with besides what was observed. */
  readonly patience: Patience;
  readonly images: ImageStore;
  readonly built: BuiltImages;
  readonly bases: BaseContents;
  readonly renderer: Renderer;
  /** Of the deckies' projects. */
  readonly projectsFolder: string;
  readonly folderOf: (decky: { readonly scope: Scope; readonly name: string }) => string;
  readonly portsOf: (slug: string) => readonly number[];
  readonly boundary: StepBoundary;
}

/** `22/tcp` */
function portsIn({ services }: Catalog): Set<string> {
  return new Set([...services.values()].flatMap(({ ports }) => ports.map(({ number, protocol }) => `${number}/${protocol}`)));
}

const firstEngineThatPins = 25;
/** For reading the host's own interfaces. */
const linksMs = 10_000;

/** Connects to the Docker engine once to learn what it can do. Throws ENGINE_UNAVAILABLE or ENGINE_UNUSABLE. */
export async function openHostParts(options: EngineOptions): Promise<HostParts> {
  const { instance, catalog, fingerprint, minFreeBytes = 1 << 30 } = options;
  const api = createEngineApi(options.socketPath, options.onReturn);
  const compose = createComposeCli(options.socketPath, {
    configFolder: dockerConfigOf(options.dataDir),
    pluginPath: options.composePath,
    timeouts: options.timeouts,
  });
  const links = createHostLinks();
  const rights: LanRights = { instance, adopted: new Set(options.adoptedNetworks) };
  const { dataDir } = options;
  const isOn = options.isContaining !== false;
  const containment = createContainment({ api, links, rights, dataDir, isOn });
  const { major, version } = await api.version();
  await containment.begin();
  const users = userMappingOf(await api.security());
  const { bounds, blindness } = await observeDiskBounds(api, {
    ...{ instance, isOn: options.isBoundingDisk !== false, bytes: options.disk?.diskBytes ?? 0 },
  });
  const pinMac = major >= firstEngineThatPins;
  const built = createBuiltImages(join(options.dataDir, "built-images.json"));
  const projectsFolder = join(options.dataDir, "deckies");
  const chainTurns = createExclusive(1);
  const folderOf: HostParts["folderOf"] = ({ scope, name }) => join(projectsFolder, deckyNames(scope, name).base);
  return {
    instance,
    catalog,
    engineVersion: version,
    pinMac,
    users,
    api,
    compose,
    links,
    observeLinks: () => links.observe(AbortSignal.timeout(linksMs)),
    lanUse: createLanUse(),
    rights,
    containment,
    publisher: createPublisher(instance, chainTurns),
    admissions: createAdmissions({ instance, api, isOn, oneByOne: chainTurns }),
    guards: await openGuards({ dataDir, catalog, rights, isOn }),
    sockets: createSocketCache(portsIn(catalog)),
    exhaustion: createExhaustionWatch(),
    disk: createDiskWatch(),
    blindness,
    patience: { ...defaultPatience, ...options.disk, exhaustedMs: options.exhaustedRestartMs ?? defaultPatience.exhaustedMs },
    left: await openLeftNetworks(dataDir),
    made: createMadeStore(join(options.dataDir, "made")),
    projects: createProjectObserver(users),
    images: createImageStore({ api, built, compose, minFreeBytes }),
    built,
    bases: createBaseContents((reference) => api.imageContent(reference)),
    renderer: createRenderer({ catalog, instance, fingerprint, pinMac, bounds, limits: await observeHardLimits() }, folderOf),
    projectsFolder,
    folderOf,
    portsOf: (slug) => catalog.services.get(slug)?.ports.map((port) => port.number) ?? [],
    boundary: options.boundary ?? (() => undefined),
  };
}
