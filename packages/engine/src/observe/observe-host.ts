import type { ContainerCalls } from "../docker/container-calls.ts";
import type { ImageCalls } from "../docker/image-calls.ts";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { ObservedPublications, Publication } from "../policy/publication.ts";
import type { ProjectFile, RenderedDecky } from "../render/render-decky.ts";
import { deckyKey, type Scope } from "../spec.ts";
import { accessTo, helperOwner, type ObservedLinks } from "./host-access.ts";
import type { LanRights } from "./lan.ts";
import { type ContainmentObserver, observeContainments } from "./observe-containment.ts";
import { observeLan } from "./observe-lan.ts";
import { noLeavings, type ObservedHost, type ObservedLeavings, type ObservedProject } from "./observed.ts";

/** Undefined for a decky of the fleet, which publishes nothing. */
export type PublicationsObserver = (
  decky: { readonly scope: Scope },
  wanted: readonly Publication[],
) => Promise<ObservedPublications | undefined>;

export interface HostSources {
  readonly api: Pick<
    ImageCalls & ContainerCalls & NetworkCalls,
    "imageId" | "networks" | "nameHolders" | "ownNetworks" | "residents"
  >;
  readonly rights: LanRights;
  readonly containment: ContainmentObserver;
  readonly observePublications: PublicationsObserver;
  /** The id of an image that was built here. */
  readonly builtAs: (tag: string) => Promise<string | undefined>;
  readonly observeLinks: () => Promise<ObservedLinks>;
  readonly observeProject: (files: readonly ProjectFile[]) => Promise<ObservedProject>;
}

/** What a decky that is to be there finds on the host. */
export async function observeHostFor(rendered: RenderedDecky, sources: HostSources): Promise<ObservedHost> {
  const { api, rights, builtAs, containment, observeLinks, observeProject } = sources;
  const lans = rendered.spec.attachments.map(({ lan }) => lan);
  const [home] = rendered.spec.attachments;
  const { instance } = rights;
  const tags = [...new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)])];
  const names = [rendered.base.name, ...rendered.services.map((service) => service.name)];
  const observeLinksOnce = home.lan.driver === "bridge" ? undefined : observeLinks();
  const [images, networks, nameHolders, project, links, lansThere, containments, published] = await Promise.all([
    Promise.all(tags.map(async (tag) => ({ tag, id: await api.imageId(tag), builtAs: await builtAs(tag) }))),
    api.networks(),
    api.nameHolders(instance, names),
    observeProject(rendered.files),
    observeLinksOnce,
    Promise.all(lans.map(async (lan) => [lan.name, await observeLan(lan, { api, ...rights, observeLinks })] as const)),
    (async () => observeContainments(containment.look(), rendered.spec, { links: await observeLinksOnce }))(),
    sources.observePublications(rendered.spec, rendered.publications),
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
    published: await sources.observePublications(decky, []),
    leaves,
  };
}

/** Images and names are taken to be there and free: an apply looks at them itself. */
export function presumedHost(
  rendered: RenderedDecky,
  instance: string,
  seen: Pick<ObservedHost, "networks" | "project" | "containments" | "published" | "guard" | "admissions"> & {
    readonly links: ObservedLinks | undefined;
  },
): ObservedHost {
  const { networks, project, containments, published, guard, admissions, links } = seen;
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
    leaves: noLeavings,
  };
}

/** What a decky leaves behind, and networks that nobody is on any more. */
export async function observeLeavings(
  decky: string,
  { api, rights, observeLinks }: Pick<HostSources, "api" | "rights" | "observeLinks">,
): Promise<ObservedLeavings> {
  const { instance } = rights;
  // In an order of ours: the engine lists them in another each time, and the same plan would not be the same.
  const networks = (await api.ownNetworks(rights))
    .filter(({ isAdopted, members }) => (members.length === 0 && !isAdopted) || members.some((member) => member.decky === decky))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  const isBridge = networks.every(({ driver }) => driver === "bridge");
  const helpers = isBridge ? [] : (await observeLinks()).helpers;
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
