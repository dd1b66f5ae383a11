import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CertificateAuthority, createAuthority, createKeyAndCsr, openAuthority } from "@decnet/common/pki/certificates";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";

const caYears = 10;
const masterTtlMs = 90 * 86_400_000;

/**
 * The installation's own certificate authority, in `<dataDir>/pki`; made at the first start. The key is 0600 and leaves
 * nowhere.
 */
export async function openOwnAuthority(dataDir: string, installation: string): Promise<CertificateAuthority> {
  const folder = join(dataDir, "pki");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const certFile = join(folder, "ca.pem");
  const keyFile = join(folder, "ca.key");
  const present = await readFile(certFile, "utf8").catch(() => undefined);
  if (present !== undefined) return openAuthority({ certPem: present, keyPem: await readFile(keyFile, "utf8"), installation });
  const made = await createAuthority({ installation, now: new Date(), years: caYears });
  await writeFileAtomically(keyFile, made.keyPem, 0o600);
  await writeFileAtomically(certFile, made.certPem, 0o644);
  return openAuthority({ ...made, installation });
}

/** A fresh key and certificate for this master's TLS port. */
export async function issueServerCertificate(
  authority: CertificateAuthority,
  names: readonly string[],
): Promise<{ readonly keyPem: string; readonly certPem: string; readonly renewInMs: number }> {
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "decnet master" });
  const { certPem } = await authority.issueMaster({ csrPem, names, ttlMs: masterTtlMs, now: new Date() });
  return { keyPem, certPem, renewInMs: (masterTtlMs * 2) / 3 };
}
