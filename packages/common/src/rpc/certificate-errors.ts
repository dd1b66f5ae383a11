/** What Node.js says of a certificate that it does not accept: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const codes = new RegExp(
  [
    "^(CERT_|CRL_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)_|ERROR_IN_(CERT|CRL)_|ERR_TLS_CERT_)",
    "^(INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$",
  ].join("|"),
);

/** Whether the other side showed a certificate that is not accepted here. */
export function isCertificateRefused(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" && codes.test(code);
}
