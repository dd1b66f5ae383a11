import { create, toJson } from "@bufbuild/protobuf";
import { type Topology, type TopologyFile, TopologyFileSchema } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { formatDocument } from "../forms.ts";
import type { ReadFlags } from "../read-flags.ts";
import { formOf } from "../read-flags.ts";

/** A topology as the file that makes it again, but for its secrets. */
export function toFile({ name, host, publishOn, lans, deckies }: Topology): TopologyFile {
  return create(TopologyFileSchema, {
    name,
    publishOn,
    host,
    lans: lans.map(({ name: lan, subnet, isDmz }) => ({ name: lan, subnet, isDmz })),
    deckies: deckies.map(({ name: decky, archetype, services, attachments, forwards, rotate, egress }) => ({
      ...{ name: decky, archetype, forwards },
      ...(rotate === undefined ? {} : { rotate }),
      egress: egress.map(({ cidr, protocol, port }) => ({ cidr, protocol, port })),
      services: services.map(({ slug, config }) => ({ slug, ...(config === undefined ? {} : { config }) })),
      attachments: attachments.map(({ lan, ip, mac }) => ({ lan, ip, mac })),
    })),
  });
}

export function formatFile(file: TopologyFile, flags: ReadFlags): string {
  const form = formOf(flags);
  const isJson = form === "json" || form === "jsonl";
  const text = formatDocument(isJson ? "json" : "yaml", toJson(TopologyFileSchema, file));
  return isJson ? text : `# The topology ${file.name}. Secrets are left out.\n${text}`;
}

/** Secrets that are set, as `web-01/ssh password`; of what is not deployed none is known. */
export function secretsOf({ deckies }: Topology): string[] {
  return deckies.flatMap(({ name, decky }) =>
    (decky?.services ?? []).flatMap(({ slug, secretsSet }) => secretsSet.map((key) => `${name}/${slug} ${key}`)),
  );
}

/** The same design with networks and addresses of its own: they are chosen again where it is imported. */
export function withoutAddresses(file: TopologyFile): TopologyFile {
  return create(TopologyFileSchema, {
    ...file,
    lans: file.lans.map((lan) => ({ ...lan, subnet: "" })),
    deckies: file.deckies.map((decky) => ({
      ...decky,
      attachments: decky.attachments.map((place) => ({ ...place, ip: "", mac: "" })),
    })),
  });
}
