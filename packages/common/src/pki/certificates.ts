import { createHash, createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { Extension, JsonGeneralNames } from "@peculiar/x509";
import { identityUri, type PkiIdentity, parseIdentityUri } from "./identity.ts";
import { readPublicKey } from "./signing-request.ts";

export interface IssuedCertificate {
  readonly certPem: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 of the DER, lower-case hex without colons. */
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Signs for one installation. No certificate outlives the authority's own. */
export interface CertificateAuthority {
  readonly certPem: string;
  /** SHA-256 of the DER of the authority's certificate, lower-case hex. */
  readonly hash: string;
  /**
   * For a TLS client that speaks for this host. Checks that the request is signed with its own key, and takes only that key from it;
   * `hostName` is for readers. Throws CsrRefused.
   */
  issueAgent(options: { csrPem: string; hostId: string; hostName: string; ttlMs: number; now: Date }): Promise<IssuedCertificate>;
  /** For the TLS server that is reached under these DNS names and IP addresses. Throws CsrRefused. */
  issueMaster(options: { csrPem: string; names: readonly string[]; ttlMs: number; now: Date }): Promise<IssuedCertificate>;
}

const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** The clocks of hosts may be apart by this much: certificates begin so long before they are made. */
export const clockSkewMs = 5 * 60_000;
const yearMs = 365.25 * 24 * 3_600_000;
/** The longest common name that X.509 allows. */
const maxCommonName = 64;

/** A new authority for an installation. It signs leaf certificates only. */
export async function createAuthority(options: {
  installation: string;
  now: Date;
  years: number;
}): Promise<{ certPem: string; keyPem: string }> {
  const { x509 } = await import("./x509.ts");
  identityUri({ role: "master", installation: options.installation });
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    keys,
    serialNumber: newSerial(),
    name: new x509.Name([commonName(`decnet ${options.installation}`)]),
    notBefore: new Date(options.now.getTime() - clockSkewMs),
    notAfter: new Date(options.now.getTime() + options.years * yearMs),
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: pemOf(certificate.rawData), keyPem: await exportKey(keys.privateKey) };
}

/** Throws when the key is not the certificate's, or the certificate is no authority's. */
export async function openAuthority(options: {
  certPem: string;
  keyPem: string;
  installation: string;
}): Promise<CertificateAuthority> {
  const { x509 } = await import("./x509.ts");
  const { certPem, installation } = options;
  const own = new X509Certificate(certPem);
  const privateKey = createPrivateKey(options.keyPem);
  if (!own.ca) throw new Error("the authority's certificate may not sign certificates");
  if (!own.checkPrivateKey(privateKey)) throw new Error("the authority's key does not belong to its certificate");
  const der = privateKey.export({ format: "der", type: "pkcs8" });
  const signingKey = await webcrypto.subtle.importKey("pkcs8", der, keyAlgorithm, false, ["sign"]);
  const authority = new x509.X509Certificate(certPem);
  const latest = new Date(own.validTo);

  const issue = async (
    csrPem: string,
    subject: { commonName: string; names: JsonGeneralNames; usage: Extension },
    { ttlMs, now }: { ttlMs: number; now: Date },
  ): Promise<IssuedCertificate> => {
    const publicKey = await readPublicKey(csrPem);
    const certificate = await x509.X509CertificateGenerator.create({
      publicKey,
      signingKey,
      serialNumber: newSerial(),
      issuer: authority.subjectName,
      subject: new x509.Name([commonName(subject.commonName)]),
      notBefore: new Date(now.getTime() - clockSkewMs),
      notAfter: new Date(Math.min(now.getTime() + ttlMs, latest.getTime())),
      signingAlgorithm: keyAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        subject.usage,
        new x509.SubjectAlternativeNameExtension(subject.names),
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
      ],
    });
    const certPemIssued = pemOf(certificate.rawData);
    const { serial, fingerprint, notBefore, notAfter } = readCertificate(certPemIssued);
    return { certPem: certPemIssued, serial, fingerprint, notBefore, notAfter };
  };

  return {
    certPem,
    hash: certificateHash(certPem),
    issueAgent: async ({ csrPem, hostId, hostName, ...validity }) =>
      issue(
        csrPem,
        {
          commonName: hostName === "" ? hostId : hostName,
          names: [{ type: "url", value: identityUri({ role: "agent", hostId, installation }) }],
          usage: new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
        },
        validity,
      ),
    issueMaster: async ({ csrPem, names, ...validity }) =>
      issue(
        csrPem,
        {
          commonName: "decnet master",
          names: [
            { type: "url", value: identityUri({ role: "master", installation }) },
            ...names.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
          ],
          usage: new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        },
        validity,
      ),
  };
}

/** A new P-256 key, and a request for a certificate for it. */
export async function createKeyAndCsr(options: { commonName: string }): Promise<{ keyPem: string; csrPem: string }> {
  const { x509 } = await import("./x509.ts");
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    name: new x509.Name([commonName(options.commonName)]),
    signingAlgorithm: keyAlgorithm,
  });
  return { keyPem: await exportKey(keys.privateKey), csrPem: `${request.toString("pem")}\n` };
}

/** What a certificate says. Whether to believe it is for whoever knows its issuer. */
export interface CertificateFacts {
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 of the DER, lower-case hex without colons. */
  readonly fingerprint: string;
  readonly identity: PkiIdentity | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subject: string;
}

/** Reads a PEM, or the raw DER of a TLS peer. */
export function readCertificate(certificate: string | Buffer): CertificateFacts {
  const parsed = new X509Certificate(certificate);
  return {
    serial: parsed.serialNumber.toLowerCase(),
    fingerprint: sha256(parsed.raw),
    identity: identityIn(parsed.subjectAltName ?? ""),
    notBefore: new Date(parsed.validFrom),
    notAfter: new Date(parsed.validTo),
    subject: parsed.subject,
  };
}

/** SHA-256 of the DER as lower-case hex, to compare with the hash of an authority. */
export function certificateHash(certPem: string): string {
  return sha256(new X509Certificate(certPem).raw);
}

/** Node writes the names as one text, and quotes a name that holds separators: none of ours does, so quotes are refused. */
function identityIn(subjectAltName: string): PkiIdentity | undefined {
  if (subjectAltName.includes('"')) return undefined;
  const uris = subjectAltName.split(", ").filter((name) => name.startsWith("URI:"));
  return uris.length === 1 ? parseIdentityUri(uris[0]?.slice("URI:".length) ?? "") : undefined;
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** 16 random bytes; the first is below 0x80 and not 0, so that the number is positive and its encoding has one form. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** As explicit UTF-8, so that no character in it has a meaning. */
function commonName(text: string) {
  return { CN: [{ utf8String: [...text].slice(0, maxCommonName).join("") }] };
}

function pemOf(der: ArrayBuffer): string {
  return new X509Certificate(Buffer.from(der)).toString();
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ format: "pem", type: "pkcs8" }).toString();
}
