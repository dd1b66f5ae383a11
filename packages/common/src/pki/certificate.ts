import { createHash, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import {
  bitString,
  contextTag,
  encode,
  integer,
  isTrue,
  objectId,
  octetString,
  readElements,
  readWithin,
  sequence,
  tags,
  time,
} from "./der.ts";
import { ownAlgorithm, signed } from "./signing.ts";

/** An X.509 certificate as it is written: of an authority, or of a leaf with one purpose. */
export interface CertificateBody {
  readonly serial: Buffer;
  /** Names, in DER. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, in DER. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Buffer[];
}

/** DER, signed with a key on P-256. */
export function writeCertificate(body: CertificateBody, key: KeyObject): Buffer {
  const version3 = encode(contextTag(0, "constructed"), integer(Buffer.from([2])));
  const toBeSigned = sequence(
    version3,
    integer(body.serial),
    ownAlgorithm,
    body.issuer,
    sequence(time(body.notBefore), time(body.notAfter)),
    body.subject,
    body.publicKey,
    encode(contextTag(3, "constructed"), sequence(...body.extensions)),
  );
  return signed(toBeSigned, key);
}

/** The longest common name that X.509 allows. */
const maxCommonName = 64;

/** A name of one part, as UTF-8, so that no character in it has a meaning. */
export function commonName(text: string): Buffer {
  const shown = [...text].slice(0, maxCommonName).join("");
  return sequence(encode(tags.set, sequence(objectId("2.5.4.3"), encode(tags.utf8String, Buffer.from(shown)))));
}

const extension = (id: string, value: Buffer) => sequence(objectId(id), octetString(value));
const criticalExtension = (id: string, value: Buffer) => sequence(objectId(id), isTrue, octetString(value));

const basicConstraints = "2.5.29.19";
const keyUsage = "2.5.29.15";
const purposes = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const;

/** Signs certificates, and none that sign others. */
export function authorityExtensions(publicKey: Buffer): Buffer[] {
  return [
    criticalExtension(basicConstraints, sequence(isTrue, integer(Buffer.alloc(1)))),
    // keyCertSign and cRLSign.
    criticalExtension(keyUsage, bitString(Buffer.from([0b0000_0110]), 1)),
    extension("2.5.29.14", octetString(keyIdOf(publicKey))),
  ];
}

/** Proves to be one of the names for one purpose, and signs nothing else. */
export function leafExtensions(options: {
  readonly purpose: keyof typeof purposes;
  readonly uri: string;
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  readonly publicKey: Buffer;
  readonly authorityKey: Buffer;
}): Buffer[] {
  const { purpose, uri, names, publicKey, authorityKey } = options;
  return [
    criticalExtension(basicConstraints, sequence()),
    // digitalSignature
    criticalExtension(keyUsage, bitString(Buffer.from([0b1000_0000]), 7)),
    extension("2.5.29.37", sequence(objectId(purposes[purpose]))),
    extension("2.5.29.17", sequence(generalName(6, uri), ...names.map(hostOrAddress))),
    extension("2.5.29.14", octetString(keyIdOf(publicKey))),
    extension("2.5.29.35", sequence(encode(contextTag(0, "primitive"), keyIdOf(authorityKey)))),
  ];
}

function hostOrAddress(name: string): Buffer {
  return isIP(name) === 0 ? generalName(2, name) : encode(contextTag(7, "primitive"), addressBytes(name));
}

function generalName(kind: 2 | 6, text: string): Buffer {
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Error(`${JSON.stringify(text)} cannot stand in a certificate`);
  return encode(contextTag(kind, "primitive"), Buffer.from(text, "latin1"));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  // A URL writes every IPv6 address in one way, without dotted parts; a zone has no meaning elsewhere.
  const written = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
  const [head = [], tail = []] = written.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

/** RFC 5280, method 1: SHA-1 of the key's bits. A name for the key, not a protection. */
function keyIdOf(publicKey: Buffer): Buffer {
  const [, bits] = readWithin(publicKey, tags.sequence);
  return createHash("sha1")
    .update(bits?.content.subarray(1) ?? publicKey)
    .digest();
}

/** The name of the subject in a certificate of ours, as it is written there. */
export function readSubject(certificate: Buffer): Buffer {
  const [body] = readWithin(certificate, tags.sequence);
  const subject = readElements(body?.content ?? Buffer.alloc(0))[5];
  if (subject?.tag !== tags.sequence) throw new Error("it is no certificate of version 3");
  return subject.whole;
}
