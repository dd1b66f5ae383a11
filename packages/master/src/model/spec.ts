import type { DeckySpec } from "@decnet/engine/spec";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { Decky, StoredService } from "./decky.ts";

/** Everything that rendering needs. */
export function toSpec(decky: Decky, services: readonly StoredService[], revision: number): DeckySpec {
  return {
    scope: decky.scope,
    name: decky.name,
    revision,
    hostname: decky.identity.hostname,
    baseImage: decky.identity.baseImage,
    buildBase: decky.identity.buildBase,
    osFamily: decky.identity.osFamily,
    attachments: decky.attachments,
    forwards: decky.identity.forwards ?? false,
    ...(decky.identity.routes === undefined ? {} : { routes: decky.identity.routes }),
    ...(decky.identity.egress === undefined ? {} : { egress: decky.identity.egress }),
    ...(decky.identity.publishOn === undefined ? {} : { publishOn: decky.identity.publishOn }),
    services: services.map(({ slug, config }) => ({ slug, config })),
  };
}

/** What a decky's host is told: the services of a revision, or that it is to be gone. */
export function toTarget(decky: Decky, services: readonly StoredService[], revision: number, leaving: boolean): HostTarget {
  return leaving
    ? { kind: "absent", scope: decky.scope, name: decky.name }
    : { kind: "present", spec: toSpec(decky, services, revision), id: decky.id, distro: decky.identity.distro };
}
