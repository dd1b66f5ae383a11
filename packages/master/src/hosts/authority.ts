import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type CertificateAuthority, createAuthority, createKeyAndCsr, openAuthority } from "@decnet/common/pki/certificates";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { readKeyFile, unusable } from "@decnet/common/runtime/key-file";

const caYears = 10;
const masterTtlMs = 90 * 86_400_000;

const filesIn = (dataDir: string) => {
  const folder = join(dataDir, "pki");
  return { folder, certFile: join(folder, "ca.pem"), keyFile: join(folder, "ca.key") };
};

/**
 * The installation's own certificate authority, in `<dataDir>/pki`. The key is 0600 and leaves nowhere. Undefined when there is
 * none of its two files. Errors: KEY_FILE_UNUSABLE.
 */
export async function readOwnAuthority(dataDir: string, installation: string): Promise<CertificateAuthority | undefined> {
  const { certFile, keyFile } = filesIn(dataDir);
  const [certPem, keyPem] = await Promise.all([readKeyFile(certFile, "certificate"), readKeyFile(keyFile, "secret")]);
  if (certPem === undefined && keyPem === undefined) return undefined;
  if (certPem === undefined) throw unusable(certFile, "is missing: the certificate of the authority whose key is beside it");
  if (keyPem === undefined) throw unusable(keyFile, "is missing: the key of the authority whose certificate is beside it");
  try {
    return await openAuthority({ certPem: `${certPem}\n`, keyPem, installation });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw unusable(keyFile, `and ${certFile} are damaged, or not of one authority: ${why}`, cause);
  }
}

/** Makes the authority, and puts it in place of whatever is there of one. */
export async function makeOwnAuthority(dataDir: string, installation: string): Promise<CertificateAuthority> {
  const { folder, certFile, keyFile } = filesIn(dataDir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const made = await createAuthority({ installation, now: new Date(), years: caYears });
  await writeFileAtomically(keyFile, made.keyPem, 0o600);
  await writeFileAtomically(certFile, made.certPem, 0o644);
  return openAuthority({ ...made, installation });
}

/** A fresh key and certificate for this master's TLS port. */
export async function issueServerCertificate(
  authority: CertificateAuthority,
  names: readonly string[],
): Promise<{ readonly keyPem: string; readonly certPem: string; readonly renewInMs: number; readonly notAfter: Date }> {
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "decnet master" });
  const { certPem, notAfter } = await authority.issueMaster({ csrPem, names, ttlMs: masterTtlMs, now: new Date() });
  return { keyPem, certPem, renewInMs: (masterTtlMs * 2) / 3, notAfter };
}
