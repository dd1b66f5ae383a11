/**
 * Who a certificate speaks for. It is encoded as one URI in subjectAltName; all other names in a certificate are for readers.
 */
export type PkiIdentity =
  | { readonly role: "master"; readonly installation: string }
  | { readonly role: "agent"; readonly hostId: string; readonly installation: string };

const part = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";
const wholePart = new RegExp(`^${part}$`);
const wholeUri = new RegExp(`^urn:decnet:(${part}):(?:(master)|agent:(${part}))$`);

/**
 * `urn:decnet:<installation>:master` or `urn:decnet:<installation>:agent:<hostId>`. Refuses ids that could be read as
 * something else.
 */
export function identityUri(identity: PkiIdentity): string {
  for (const id of identity.role === "agent" ? [identity.installation, identity.hostId] : [identity.installation])
    if (!wholePart.test(id)) throw new Error(`"${id}" cannot stand in a certificate: use letters, digits, ".", "_" and "-"`);
  return identity.role === "agent"
    ? `urn:decnet:${identity.installation}:agent:${identity.hostId}`
    : `urn:decnet:${identity.installation}:master`;
}

/** Undefined for everything that identityUri does not write. */
export function parseIdentityUri(uri: string): PkiIdentity | undefined {
  const [, installation, master, hostId] = wholeUri.exec(uri) ?? [];
  if (installation === undefined) return undefined;
  if (master !== undefined) return { role: "master", installation };
  return hostId === undefined ? undefined : { role: "agent", hostId, installation };
}
