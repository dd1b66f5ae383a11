import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import {
  authorityExtensions,
  type CertificateBody,
  commonName,
  leafExtensions,
  readSubject,
  writeCertificate,
} from "./certificate.ts";
import { identityUri, type PkiIdentity, parseIdentityUri } from "./identity.ts";
import { toPem } from "./pem.ts";
import { readPublicKey, writePublicKey, writeRequest } from "./signing-request.ts";

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
  readonly notAfter: Date;
  /** SHA-256 of the DER of the authority's certificate, lower-case hex. */
  readonly hash: string;
  /**
   * For a TLS client that speaks for this host. Checks that the request is signed with its own key, and takes only that key
   * from it; `hostName` is for readers. Throws CsrRefused.
   */
  issueAgent(options: {
    csrPem: string;
    hostId: string;
    hostName: string;
    /** Which certificate of the host it is. */
    number?: number;
    ttlMs: number;
    now: Date;
  }): Promise<IssuedCertificate>;
  /**
   * For the TLS server that is reached under these DNS names and IP addresses, or for the calls of a master to others. Throws
   * CsrRefused.
   */
  issueMaster(options: {
    csrPem: string;
    names: readonly string[];
    ttlMs: number;
    now: Date;
    purpose?: "server" | "client";
  }): Promise<IssuedCertificate>;
}

/** The clocks of hosts may be apart by this much: certificates begin so long before they are made. */
export const clockSkewMs = 5 * 60_000;
const yearMs = 365.25 * 24 * 3_600_000;

/** A new authority for an installation. It signs leaf certificates only. */
export async function createAuthority(options: {
  installation: string;
  now: Date;
  years: number;
}): Promise<{ certPem: string; keyPem: string }> {
  identityUri({ role: "master", installation: options.installation });
  const keys = newKeys();
  const publicKey = writePublicKey(keys.publicKey);
  const name = commonName(`decnet ${options.installation}`);
  const { certPem } = write(
    {
      issuer: name,
      subject: name,
      notBefore: new Date(options.now.getTime() - clockSkewMs),
      notAfter: new Date(options.now.getTime() + options.years * yearMs),
      publicKey,
      extensions: authorityExtensions(publicKey),
    },
    keys.privateKey,
  );
  return { certPem, keyPem: toKeyPem(keys.privateKey) };
}

/** Throws when the key is not the certificate's, or the certificate is no authority's. */
export async function openAuthority(options: {
  certPem: string;
  keyPem: string;
  installation: string;
}): Promise<CertificateAuthority> {
  const { certPem, installation } = options;
  const own = new X509Certificate(certPem);
  const key = createPrivateKey(options.keyPem);
  if (!own.ca) throw new Error("the authority's certificate may not sign certificates");
  if (!own.checkPrivateKey(key)) throw new Error("the authority's key does not belong to its certificate");
  const issuer = readSubject(own.raw);
  const authorityKey = writePublicKey(own.publicKey);
  const latest = new Date(own.validTo);

  const issue = (
    csrPem: string,
    subject: { name: string; uri: string; names: readonly string[]; purpose: "client" | "server" },
    { ttlMs, now }: { ttlMs: number; now: Date },
  ): IssuedCertificate => {
    const publicKey = readPublicKey(csrPem);
    return write(
      {
        issuer,
        subject: commonName(subject.name),
        notBefore: new Date(now.getTime() - clockSkewMs),
        notAfter: new Date(Math.min(now.getTime() + ttlMs, latest.getTime())),
        publicKey,
        extensions: leafExtensions({ ...subject, publicKey, authorityKey }),
      },
      key,
    );
  };

  return {
    certPem,
    notAfter: latest,
    hash: sha256(own.raw),
    issueAgent: async ({ csrPem, hostId, hostName, number = 0, ...validity }) => {
      const uri = identityUri({ role: "agent", hostId, installation, number });
      return issue(csrPem, { name: hostName === "" ? hostId : hostName, uri, names: [], purpose: "client" }, validity);
    },
    issueMaster: async ({ csrPem, names, purpose = "server", ...validity }) => {
      const uri = identityUri({ role: "master", installation });
      return issue(csrPem, { name: "decnet master", uri, names, purpose }, validity);
    },
  };
}

/** A new P-256 key, and a request for a certificate for it. */
export async function createKeyAndCsr(options: { commonName: string }): Promise<{ keyPem: string; csrPem: string }> {
  const keys = newKeys();
  return { keyPem: toKeyPem(keys.privateKey), csrPem: writeRequest(options.commonName, keys) };
}

function newKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function toKeyPem(key: KeyObject): string {
  return key.export({ format: "pem", type: "pkcs8" }).toString();
}

/** Certificates tell the time in seconds. */
function write(body: Omit<CertificateBody, "serial">, key: KeyObject): IssuedCertificate {
  const serial = newSerial();
  const der = writeCertificate({ ...body, serial }, key);
  const toSecond = (date: Date) => new Date(Math.floor(date.getTime() / 1_000) * 1_000);
  return {
    certPem: toPem("CERTIFICATE", der),
    serial: serial.toString("hex"),
    fingerprint: sha256(der),
    notBefore: toSecond(body.notBefore),
    notAfter: toSecond(body.notAfter),
  };
}

/** What a certificate says. Who knows its issuer decides whether to believe it. */
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

/** Reads a PEM, the raw DER of a TLS peer, or what Node has read already. */
export function readCertificate(certificate: string | Buffer | X509Certificate): CertificateFacts {
  const parsed = certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate);
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
function newSerial(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}
