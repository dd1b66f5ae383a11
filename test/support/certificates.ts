import { type CertificateAuthority, createAuthority, createKeyAndCsr, openAuthority } from "@decnet/common/pki/certificates";

export interface KeyAndCertificate {
  readonly keyPem: string;
  readonly certPem: string;
}

const hour = 3_600_000;

/** An authority of the test's own. */
export async function newAuthority(): Promise<CertificateAuthority> {
  const files = await createAuthority({ installation: "lab", now: new Date(), years: 1 });
  return openAuthority({ ...files, installation: "lab" });
}

export async function newAgent(
  authority: CertificateAuthority,
  hostId = "h-1",
  validity: { now?: Date; ttlMs?: number } = {},
): Promise<KeyAndCertificate> {
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: hostId });
  const issued = await authority.issueAgent({ csrPem, hostId, hostName: hostId, ttlMs: hour, now: new Date(), ...validity });
  return { keyPem, certPem: issued.certPem };
}

/** Valid on loopback, under the given name beside `localhost`. */
export async function newMaster(authority: CertificateAuthority, name = "master.example"): Promise<KeyAndCertificate> {
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "master" });
  const names = [name, "localhost", "127.0.0.1", "::1"];
  const issued = await authority.issueMaster({ csrPem, names, ttlMs: hour, now: new Date() });
  return { keyPem, certPem: issued.certPem };
}

export const longAgo = { now: new Date(Date.now() - 2 * hour) };
