import type { ContainerCalls } from "../docker/container-calls.ts";
import type { ImageCalls } from "../docker/image-calls.ts";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { ObservedPublications, Publication } from "../policy/publication.ts";
import type { ProjectFile, RenderedDecky } from "../render/render-decky.ts";
import { type DeckySpec, deckyKey, type Scope } from "../spec.ts";
import { accessTo, helperOwner, type ObservedLinks } from "./host-access.ts";
import type { EngineNetwork, LanRights } from "./lan.ts";
import { type ContainmentLook, observeContainments } from "./observe-containment.ts";
import { observeLan } from "./observe-lan.ts";
import {
  baseOf,
  type LeftNetwork,
  noLeavings,
  type ObservedDecky,
  type ObservedHost,
  type ObservedLeavings,
  type ObservedProject,
} from "./observed.ts";

/** What several observations of a host share. */
export interface LookAround {
  networks(): Promise<ReadonlyMap<string, EngineNetwork>>;
  links(): Promise<ObservedLinks>;
  readonly containment: ContainmentLook;
  readonly publications: {
    of(decky: { readonly scope: Scope }, wanted: readonly Publication[]): Promise<ObservedPublications | undefined>;
  };
}

export interface HostSources {
  readonly api: Pick<ImageCalls & ContainerCalls & NetworkCalls, "imageId" | "nameHolders" | "ownNetworks" | "residents">;
  readonly rights: LanRights;
  readonly look: LookAround;
  /** The id of an image that was built here. */
  readonly builtAs: (tag: string) => Promise<string | undefined>;
  readonly observeProject: (files: readonly ProjectFile[]) => Promise<ObservedProject>;
}

/** What a decky that is to be there finds on the host. */
export async function observeHostFor(rendered: RenderedDecky, sources: HostSources): Promise<ObservedHost> {
  const { api, rights, builtAs, look, observeProject } = sources;
  const lans = rendered.spec.attachments.map(({ lan }) => lan);
  const [home] = rendered.spec.attachments;
  const { instance } = rights;
  const tags = [...new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)])];
  const names = [rendered.base.name, ...rendered.services.map((service) => service.name)];
  const needsLinks = home.lan.driver !== "bridge";
  const around = { api: { networks: look.networks, residents: api.residents }, ...rights, observeLinks: look.links };
  const [images, networks, nameHolders, project, links, lansThere, containments, published] = await Promise.all([
    Promise.all(tags.map(async (tag) => ({ tag, id: await api.imageId(tag), builtAs: await builtAs(tag) }))),
    look.networks(),
    api.nameHolders(instance, names),
    observeProject(rendered.files),
    needsLinks ? look.links() : undefined,
    Promise.all(lans.map(async (lan) => [lan.name, await observeLan(lan, around)] as const)),
    (async () => {
      const seen = { networks: await look.networks(), links: needsLinks ? await look.links() : undefined };
      return observeContainments(look.containment, rendered.spec, seen);
    })(),
    look.publications.of(rendered.spec, rendered.publications),
  ]);
  const there = images.filter(({ id }) => id !== undefined);
  const foreign = there.filter(({ id, builtAs: known }) => known !== undefined && id !== known);
  const tagsOf = (some: typeof there) => new Set(some.map(({ tag }) => tag));
  return {
    images: tagsOf(there.filter((image) => !foreign.includes(image))),
    foreignImages: tagsOf(foreign),
    networks,
    nameHolders,
    project,
    lans: new Map(lansThere),
    access: links === undefined ? undefined : accessTo(home.lan, instance, links),
    containments,
    published,
    leaves: noLeavings,
  };
}

/** What a decky that is to be gone leaves behind on the host. */
export async function observeHostAfter(
  decky: { readonly scope: Scope; readonly name: string },
  sources: HostSources,
): Promise<ObservedHost> {
  const [project, leaves] = await Promise.all([sources.observeProject([]), observeLeavings(deckyKey(decky), sources)]);
  return {
    images: new Set(),
    networks: undefined,
    nameHolders: new Map(),
    project,
    lans: new Map(),
    access: undefined,
    containments: new Map(),
    published: await sources.look.publications.of(decky, []),
    leaves,
  };
}

/** Images and names are taken to be there and free: an apply looks at them itself. */
export function presumedHost(
  rendered: RenderedDecky,
  instance: string,
  seen: Pick<ObservedHost, "networks" | "project" | "containments" | "published" | "guard" | "admissions" | "leaves"> & {
    readonly links: ObservedLinks | undefined;
  },
): ObservedHost {
  const { networks, project, containments, published, guard, admissions, leaves, links } = seen;
  return {
    images: new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)]),
    networks,
    nameHolders: new Map(),
    project,
    lans: new Map(),
    access: links === undefined ? undefined : accessTo(rendered.spec.attachments[0].lan, instance, links),
    containments,
    published,
    guard,
    admissions,
    leaves,
  };
}

/** Of a decky that stays: what it is on, or was when it was last made again (`noted`), and should not be. */
export function leavingsOf(
  { attachments }: Pick<DeckySpec, "attachments">,
  observed: ObservedDecky,
  {
    noted,
    networks,
    rights,
  }: {
    readonly noted: readonly string[];
    readonly networks: ReadonlyMap<string, EngineNetwork>;
    readonly rights: LanRights;
  },
): ObservedLeavings {
  const wanted = new Set(attachments.map(({ lan }) => lan.name));
  const on = new Set(baseOf(observed)?.attachments.map(({ network }) => network));
  const left = [...new Set([...noted, ...on])].filter((name) => !wanted.has(name)).sort();
  return {
    ...noLeavings,
    networks: left.flatMap((network): LeftNetwork[] => {
      const { owner = "", driver = "" } = networks.get(network) ?? {};
      const isAdopted = rights.adopted.has(network);
      if (driver === "" || (owner !== rights.instance && !isAdopted)) return [];
      const helper = driver === "bridge" ? "" : helperOwner(rights.instance, network);
      return [{ network, owner: helper, isAdopted: owner !== rights.instance, isLeft: !on.has(network) }];
    }),
  };
}

/** What a decky leaves behind, and networks that nobody is on any more. */
export async function observeLeavings(
  decky: string,
  {
    api,
    rights,
    look,
  }: Pick<HostSources, "rights"> & {
    readonly api: Pick<NetworkCalls, "ownNetworks">;
    readonly look: Pick<LookAround, "links">;
  },
): Promise<ObservedLeavings> {
  const { instance } = rights;
  // In an order of ours: the engine lists them in another each time, and the same plan would not be the same.
  const networks = (await api.ownNetworks(rights))
    .filter(({ isAdopted, members }) => (members.length === 0 && !isAdopted) || members.some((member) => member.decky === decky))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  const isBridge = networks.every(({ driver }) => driver === "bridge");
  const helpers = isBridge ? [] : (await look.links()).helpers;
  const addresses = networks.flatMap(({ name, members }) =>
    members.filter((member) => member.decky === decky).map(({ address }) => ({ owner: helperOwner(instance, name), address })),
  );
  return {
    networks: networks.map(({ name, driver, isAdopted }) => ({
      network: name,
      isAdopted,
      owner: driver === "bridge" ? "" : helperOwner(instance, name),
    })),
    routes: helpers.flatMap((helper) =>
      addresses
        .filter(({ owner, address }) => owner === helper.owner && helper.routes.includes(address))
        .map(({ address }) => ({ to: address, helper: helper.name })),
    ),
  };
}
