import type { AdmissionsLook } from "../execute/admissions.ts";
import type { PublicationsLook } from "../execute/publisher.ts";
import type { ObservedLinks } from "../observe/host-access.ts";
import type { EngineNetwork } from "../observe/lan.ts";
import type { ContainmentLook } from "../observe/observe-containment.ts";
import type { HostParts } from "./host-parts.ts";

/**
 * What is seen of a host at one moment, by one apply or by one check of all of its deckies. Each thing is looked at when it is
 * first asked for, and once: what a look costs is independent of how many deckies there are.
 */
export interface HostLook {
  /** Throws ENGINE_UNAVAILABLE. */
  networks(): Promise<ReadonlyMap<string, EngineNetwork>>;
  /** Throws NOT_OBSERVED. */
  links(): Promise<ObservedLinks>;
  readonly containment: ContainmentLook;
  readonly admissions: AdmissionsLook;
  readonly publications: PublicationsLook;
}

export function lookAtHost({ api, observeLinks, containment, admissions, publisher }: HostParts): HostLook {
  const networks = once(() => api.networks());
  const publications = publisher.look();
  return {
    networks,
    links: once(observeLinks),
    containment: containment.look(networks),
    admissions: admissions.look({ chain: publications.chain, networks }),
    publications,
  };
}

function once<T>(look: () => Promise<T>): () => Promise<T> {
  let seen: Promise<T> | undefined;
  return () => {
    seen ??= look();
    return seen;
  };
}
