import { createPublicKey, type KeyObject } from "node:crypto";
import type { PublicKey } from "@peculiar/x509";
import { AppError } from "../errors/app-error.ts";

/** A certificate request that must not become a certificate. */
export class CsrRefused extends AppError {
  constructor(why: string, cause?: unknown) {
    super("REQUEST_INVALID", `the certificate request is refused: ${why}`, { cause });
    this.name = "CsrRefused";
  }
}

const maxLength = 16_384;

/** The public key of a request, and nothing else of it, once the request proved that its sender has the private key. */
export async function readPublicKey(csrPem: string): Promise<PublicKey> {
  if (csrPem.length > maxLength) throw new CsrRefused(`it is longer than ${maxLength} characters`);
  const { x509 } = await import("./x509.ts");
  let request: InstanceType<typeof x509.Pkcs10CertificateRequest>;
  let key: KeyObject;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: "der", type: "spki" });
  } catch (error) {
    throw new CsrRefused("it cannot be read", error);
  }
  if (!isStrong(key)) throw new CsrRefused("its key must be P-256, Ed25519, or RSA of 2048 to 8192 bits");
  const signed = await request.verify().catch((error: unknown) => {
    throw new CsrRefused("its signature cannot be checked", error);
  });
  if (!signed) throw new CsrRefused("it is not signed with its own key");
  return request.publicKey;
}

function isStrong(key: KeyObject): boolean {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ec":
      return namedCurve === "prime256v1";
    case "rsa":
      return modulusLength >= 2048 && modulusLength <= 8192;
    case "ed25519":
      return true;
    default:
      return false;
  }
}
