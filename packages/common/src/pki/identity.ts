/**
 * Who a certificate speaks for. It is encoded as one URI in subjectAltName; all other names in a certificate are for readers.
 */
export type PkiIdentity =
  | { readonly role: "master"; readonly installation: string }
  | {
      readonly role: "agent";
      readonly hostId: string;
      readonly installation: string;
      /** Counts the certificates of a host; those from before they were counted are 0. */
      readonly number: number;
    };

const part = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";
const mostNumber = 999_999_999;
const wholePart = new RegExp(`^${part}$`);
const wholeUri = new RegExp(`^urn:decnet:(${part}):(?:(master)|agent:(${part})(?::([1-9]\\d{0,8}))?)$`);

/**
 * `urn:decnet:<installation>:master` or `urn:decnet:<installation>:agent:<hostId>:<number>`. Refuses ids that could be read
 * as something else.
 */
export function identityUri(identity: PkiIdentity): string {
  for (const id of identity.role === "agent" ? [identity.installation, identity.hostId] : [identity.installation])
    if (!wholePart.test(id)) throw new Error(`"${id}" cannot stand in a certificate: use letters, digits, ".", "_" and "-"`);
  if (identity.role === "master") return `urn:decnet:${identity.installation}:master`;
  if (!Number.isInteger(identity.number) || identity.number < 0 || identity.number > mostNumber)
    throw new Error(`${identity.number} cannot stand in a certificate: it is no number of one`);
  const number = identity.number === 0 ? "" : `:${identity.number}`;
  return `urn:decnet:${identity.installation}:agent:${identity.hostId}${number}`;
}

/** Undefined for everything that identityUri does not write. */
export function parseIdentityUri(uri: string): PkiIdentity | undefined {
  const [, installation, master, hostId, number = "0"] = wholeUri.exec(uri) ?? [];
  if (installation === undefined) return undefined;
  if (master !== undefined) return { role: "master", installation };
  return hostId === undefined ? undefined : { role: "agent", hostId, installation, number: Number(number) };
}
