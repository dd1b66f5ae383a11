import type { ContainerCalls } from "../docker/container-calls.ts";
import type { ImageCalls } from "../docker/image-calls.ts";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { ProjectFile, RenderedDecky } from "../render/render-decky.ts";
import { deckyKey, type Scope } from "../spec.ts";
import { accessTo, helperOwner, type ObservedLinks } from "./host-access.ts";
import { unseenLan } from "./lan.ts";
import { observeLan } from "./observe-lan.ts";
import { noLeavings, type ObservedHost, type ObservedLeavings, type ObservedProject } from "./observed.ts";

export interface HostSources {
  readonly api: Pick<
    ImageCalls & ContainerCalls & NetworkCalls,
    "imageId" | "networks" | "nameHolders" | "ownNetworks" | "residents"
  >;
  readonly instance: string;
  /** The id of an image that was built here. */
  readonly builtAs: (tag: string) => Promise<string | undefined>;
  readonly observeLinks: () => Promise<ObservedLinks>;
  readonly observeProject: (files: readonly ProjectFile[]) => Promise<ObservedProject>;
}

/** What a decky that is to be there finds on the host. */
export async function observeHostFor(rendered: RenderedDecky, sources: HostSources): Promise<ObservedHost> {
  const { api, instance, builtAs, observeLinks, observeProject } = sources;
  const { lan } = rendered.spec;
  const tags = [...new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)])];
  const names = [rendered.base.name, ...rendered.services.map((service) => service.name)];
  const [images, networks, nameHolders, project, links, lanThere] = await Promise.all([
    Promise.all(tags.map(async (tag) => ({ tag, id: await api.imageId(tag), builtAs: await builtAs(tag) }))),
    api.networks(),
    api.nameHolders(instance, names),
    observeProject(rendered.files),
    lan.driver === "bridge" ? undefined : observeLinks(),
    observeLan(lan, { api, instance, observeLinks }),
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
    lan: lanThere,
    access: links === undefined ? undefined : accessTo(lan, instance, links),
    leaves: noLeavings,
  };
}

/** What a decky that is to be gone leaves behind on the host. */
export async function observeHostAfter(
  decky: { readonly scope: Scope; readonly name: string },
  sources: HostSources,
): Promise<ObservedHost> {
  const [project, leaves] = await Promise.all([sources.observeProject([]), observeLeavings(deckyKey(decky), sources)]);
  return { images: new Set(), networks: undefined, nameHolders: new Map(), project, lan: unseenLan, access: undefined, leaves };
}

/** Images and names are taken to be there and free: an apply looks at them itself. */
export function presumedHost(
  rendered: RenderedDecky,
  instance: string,
  seen: Pick<ObservedHost, "networks" | "project"> & { readonly links: ObservedLinks | undefined },
): ObservedHost {
  const { networks, project, links } = seen;
  return {
    images: new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)]),
    networks,
    nameHolders: new Map(),
    project,
    lan: unseenLan,
    access: links === undefined ? undefined : accessTo(rendered.spec.lan, instance, links),
    leaves: noLeavings,
  };
}

async function observeLeavings(decky: string, { api, instance, observeLinks }: HostSources): Promise<ObservedLeavings> {
  const networks = (await api.ownNetworks(instance)).filter(
    ({ members }) => members.length === 0 || members.some((member) => member.decky === decky),
  );
  const isBridge = networks.every(({ driver }) => driver === "bridge");
  const helpers = isBridge ? [] : (await observeLinks()).helpers;
  const addresses = networks.flatMap(({ name, members }) =>
    members.filter((member) => member.decky === decky).map(({ address }) => ({ owner: helperOwner(instance, name), address })),
  );
  return {
    networks: networks.map(({ name, driver }) => ({
      network: name,
      owner: driver === "bridge" ? "" : helperOwner(instance, name),
    })),
    routes: helpers.flatMap((helper) =>
      addresses
        .filter(({ owner, address }) => owner === helper.owner && helper.routes.includes(address))
        .map(({ address }) => ({ to: address, helper: helper.name })),
    ),
  };
}
