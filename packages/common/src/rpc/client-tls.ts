import tls from "node:tls";
import { type CertificateFacts, readCertificate } from "../pki/certificates.ts";

export interface ClientTls {
  /** The only authorities that are trusted; undefined: those of this machine. */
  readonly caPem?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  /** The name that the server's certificate must carry, when it is not the one in the address. */
  readonly servername?: string;
  /**
   * For an authority that signs masters of one installation alone: the address that one is reached at need not be in its
   * certificate. A function decides it for each certificate.
   */
  readonly anyName?: boolean | ((facts: CertificateFacts) => boolean);
  /** A further look at a certificate whose chain and name hold; what it answers breaks the connection. */
  readonly checkIdentity?: (facts: CertificateFacts) => Error | undefined;
}

/** The same for Node.js. */
export function connectionOptions(settings: ClientTls): tls.ConnectionOptions {
  const { caPem, certPem, keyPem, servername, anyName, checkIdentity } = settings;
  return {
    ...(caPem === undefined ? {} : { ca: caPem }),
    minVersion: "TLSv1.2",
    ...(certPem === undefined ? {} : { cert: certPem }),
    ...(keyPem === undefined ? {} : { key: keyPem }),
    ...(servername === undefined ? {} : { servername }),
    checkServerIdentity: (host, certificate) => {
      const facts = readCertificate(certificate.raw);
      const isAnyName = typeof anyName === "function" ? anyName(facts) : anyName === true;
      return (isAnyName ? undefined : tls.checkServerIdentity(host, certificate)) ?? checkIdentity?.(facts);
    },
  };
}
