import type { Host } from "../model/host.ts";
import type { HostCertificate, HostStore } from "../store/hosts.ts";

/** All that a call of an agent needs to know of its host without reading it: what changes is read where it is used. */
export type AcceptedHost = Pick<Host, "id" | "name">;

/**
 * Which certificates of workers count. The database is asked once for each connection, and again when the host's certificates
 * have changed.
 */
export interface AcceptedCertificates {
  /**
   * The host whose certificate it is; undefined when it is revoked. `connection` is an object that lives as long as the
   * connection.
   */
  accepts(connection: object, certificate: HostCertificate): Promise<AcceptedHost | undefined>;
  /** Call it after every change of the host's certificates: whatever was accepted before is asked again. */
  forget(hostId: string): void;
}

export function createAcceptedCertificates(store: Pick<HostStore, "accepts">): AcceptedCertificates {
  const known = new WeakMap<object, { readonly host: AcceptedHost; readonly serial: string; readonly changes: number }>();
  /** How often the certificates of a host have changed in this master's life. */
  const changes = new Map<string, number>();
  const changesOf = (hostId: string) => changes.get(hostId) ?? 0;
  return {
    async accepts(connection, certificate) {
      const { hostId, serial } = certificate;
      const before = changesOf(hostId);
      const accepted = known.get(connection);
      if (accepted?.host.id === hostId && accepted.serial === serial && accepted.changes === before) return accepted.host;
      const found = await store.accepts(certificate);
      if (found === undefined) return undefined;
      const host = { id: found.id, name: found.name };
      // What changed while it was read is known by the count of before: the next call asks again.
      known.set(connection, { host, serial, changes: before });
      return host;
    },
    forget: (hostId) => void changes.set(hostId, changesOf(hostId) + 1),
  };
}
