import type { ContainerCalls } from "../docker/container-calls.ts";
import type { ImageCalls } from "../docker/image-calls.ts";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { ProjectFile, RenderedDecky } from "../render/render-decky.ts";
import { deckyKey, type Scope } from "../spec.ts";
import { accessTo, helperOwner, type ObservedLinks } from "./host-access.ts";
import { unseenLan } from "./lan.ts";
import { observeLan } from "./observe-lan.ts";
import { noLeavings, type ObservedHost, type ObservedLeavings } from "./observed.ts";

export interface HostSources {
  readonly api: Pick<
    ImageCalls & ContainerCalls & NetworkCalls,
    "hasImage" | "hasNetwork" | "foreignNames" | "ownNetworks" | "networks" | "residents"
  >;
  readonly instance: string;
  readonly observeLinks: () => Promise<ObservedLinks>;
  /** Digest of what is on disk at the paths of these files; empty when there is no project. */
  readonly diskDigest: (files: readonly ProjectFile[]) => Promise<string>;
}

/** What a decky that is to be there finds on the host. */
export async function observeHostFor(rendered: RenderedDecky, sources: HostSources): Promise<ObservedHost> {
  const { api, instance, observeLinks, diskDigest } = sources;
  const { lan } = rendered.spec;
  const tags = [...new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)])];
  const names = [rendered.base.name, ...rendered.services.map((service) => service.name)];
  const [images, hasNetwork, foreignNames, digest, links, lanThere] = await Promise.all([
    Promise.all(tags.map(async (tag) => ((await api.hasImage(tag)) ? [tag] : []))),
    api.hasNetwork(lan.name),
    api.foreignNames(instance, names),
    diskDigest(rendered.files),
    lan.driver === "bridge" ? undefined : observeLinks(),
    observeLan(lan, { api, instance, observeLinks }),
  ]);
  return {
    images: new Set(images.flat()),
    networks: new Set(hasNetwork ? [lan.name] : []),
    foreignNames,
    projectDigest: digest,
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
  const [digest, leaves] = await Promise.all([sources.diskDigest([]), observeLeavings(deckyKey(decky), sources)]);
  const nothing = new Set<string>();
  return {
    images: nothing,
    networks: nothing,
    foreignNames: nothing,
    projectDigest: digest,
    lan: unseenLan,
    access: undefined,
    leaves,
  };
}

/** Images, network, names and files are taken to be there: an apply looks at them itself. */
export function presumedHost(rendered: RenderedDecky, instance: string, links: ObservedLinks | undefined): ObservedHost {
  return {
    images: new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)]),
    networks: new Set([rendered.spec.lan.name]),
    foreignNames: new Set(),
    projectDigest: "",
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
