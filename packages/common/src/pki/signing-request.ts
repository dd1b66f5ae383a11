import { createPublicKey, type KeyObject } from "node:crypto";
import { AppError } from "../errors/app-error.ts";
import { commonName } from "./certificate.ts";
import { contextTag, encode, integer, readElements, readWithin, sequence, tags } from "./der.ts";
import { parsePem, toPem } from "./pem.ts";
import { isSignedBy, signed } from "./signing.ts";

/** A certificate request that must not become a certificate. */
export class CsrRefused extends AppError {
  constructor(why: string, cause?: unknown) {
    super("REQUEST_INVALID", `the certificate request is refused: ${why}`, { cause });
    this.name = "CsrRefused";
  }
}

const label = "CERTIFICATE REQUEST";
const maxLength = 16_384;
const version1 = integer(Buffer.alloc(1));
const attributesTag = contextTag(0, "constructed");

/** A request for a certificate for a key on P-256, signed with it. */
export function writeRequest(name: string, keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }): string {
  const body = sequence(version1, commonName(name), writePublicKey(keys.publicKey), encode(attributesTag));
  return toPem(label, signed(body, keys.privateKey));
}

/**
 * The public key of a request, and nothing else of it, once the request proved that its sender has the private key: SubjectPublicKeyInfo in DER.
 * Throws CsrRefused.
 */
export function readPublicKey(csrPem: string): Buffer {
  if (csrPem.length > maxLength) throw new CsrRefused(`it is longer than ${maxLength} characters`);
  const { body, publicKey, algorithm, signature } = orRefused("it cannot be read", () => readParts(csrPem));
  const key = orRefused("it cannot be read", () => createPublicKey({ key: publicKey, format: "der", type: "spki" }));
  if (!isStrong(key)) throw new CsrRefused("its key must be P-256, Ed25519, or RSA of 2048 to 8192 bits");
  if (!isUsual(key, publicKey)) throw new CsrRefused("its key is written in an unusual way");
  const isOwn = orRefused("its signature cannot be checked", () => isSignedBy(key, algorithm, body, signature));
  if (isOwn === undefined) throw new CsrRefused("its signature cannot be checked: the algorithm does not fit its key");
  if (!isOwn) throw new CsrRefused("it is not signed with its own key");
  return publicKey;
}

function orRefused<T>(why: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new CsrRefused(why, error);
  }
}

/** Name and attributes are passed over: nothing of them is used. */
function readParts(csrPem: string): Readonly<Record<"body" | "publicKey" | "algorithm" | "signature", Buffer>> {
  const [body, algorithm, signature, ...afterSignature] = readWithin(parsePem(label, csrPem), tags.sequence);
  if (body?.tag !== tags.sequence || algorithm?.tag !== tags.sequence || signature?.tag !== tags.bitString)
    throw new Error("it is no signed sequence");
  const [version, name, publicKey, attributes, ...afterAttributes] = readElements(body.content);
  if (version?.whole.equals(version1) !== true || name?.tag !== tags.sequence || publicKey?.tag !== tags.sequence)
    throw new Error("it is no request");
  if (attributes?.tag !== attributesTag || afterSignature.length + afterAttributes.length > 0)
    throw new Error("it has more or less than a request");
  if (signature.content[0] !== 0) throw new Error("its signature is not made of whole bytes");
  return {
    body: body.whole,
    publicKey: publicKey.whole,
    algorithm: algorithm.whole,
    signature: signature.content.subarray(1),
  };
}

export function writePublicKey(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" });
}

/** SubjectPublicKeyInfo of a key on the named curve P-256, up to the point, which is not compressed. */
const p256Head = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");

const p256Length = p256Head.length + 64;

/** The certificate will hold the key as the request writes it, so everybody must read there what was checked here. */
function isUsual(key: KeyObject, written: Buffer): boolean {
  if (key.asymmetricKeyType !== "ec") return writePublicKey(key).equals(written);
  return written.length === p256Length && written.subarray(0, p256Head.length).equals(p256Head);
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
