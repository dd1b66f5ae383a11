import { type KeyObject, sign, verify } from "node:crypto";
import { bitString, objectId, sequence } from "./der.ts";

interface Signing {
  /** The algorithm as requests and certificates write it. */
  readonly written: Buffer;
  readonly keyType: string;
  /** Null where the algorithm has no hash of its own. */
  readonly hash: string | null;
}

const noParameters = Buffer.from([0x05, 0x00]);
const ecdsa = (arc: number, hash: string): Signing => ({
  written: sequence(objectId(`1.2.840.10045.4.3.${arc}`)),
  keyType: "ec",
  hash,
});
const rsa = (arc: number, hash: string): Signing => ({
  written: sequence(objectId(`1.2.840.113549.1.1.${arc}`), noParameters),
  keyType: "rsa",
  hash,
});

const own = ecdsa(2, "sha256");
const accepted: readonly Signing[] = [
  own,
  ecdsa(3, "sha384"),
  ecdsa(4, "sha512"),
  rsa(11, "sha256"),
  rsa(12, "sha384"),
  rsa(13, "sha512"),
  { written: sequence(objectId("1.3.101.112")), keyType: "ed25519", hash: null },
];

/** How everything is signed here, as it is written: ECDSA with SHA-256. */
export const ownAlgorithm = own.written;

/** What is signed, how, and the signature: the frame of requests and certificates. `key` is on P-256. */
export function signed(body: Buffer, key: KeyObject): Buffer {
  return sequence(body, own.written, bitString(sign(own.hash, body, key)));
}

/** Whether the signature is the key's. Undefined when the algorithm is unknown or does not fit the key; may throw for a broken signature. */
export function isSignedBy(key: KeyObject, algorithm: Buffer, body: Buffer, signature: Buffer): boolean | undefined {
  const signing = accepted.find(({ written, keyType }) => keyType === key.asymmetricKeyType && written.equals(algorithm));
  return signing === undefined ? undefined : verify(signing.hash, body, key, signature);
}
