import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { commonName } from "./certificate.ts";
import { type CertificateAuthority, createAuthority, openAuthority } from "./certificates.ts";
import { bitString, contextTag, encode, integer, objectId, sequence } from "./der.ts";
import { parsePem, toPem } from "./pem.ts";
import { readPublicKey, writePublicKey, writeRequest } from "./signing-request.ts";

const ecdsaSha256 = sequence(objectId("1.2.840.10045.4.3.2"));
const rsaSha256 = sequence(objectId("1.2.840.113549.1.1.11"), Buffer.from([0x05, 0x00]));
const label = "CERTIFICATE REQUEST";
const zero = integer(Buffer.alloc(1));
const noAttributes = encode(contextTag(0, "constructed"));

const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const others = generateKeyPairSync("ec", { namedCurve: "P-256" });
const honest = writeRequest("honest", keys);
const der = parsePem(label, honest);
const pem = (bytes: Buffer) => toPem(label, bytes);

interface Request {
  readonly publicKey: Buffer;
  readonly version: Buffer;
  readonly name: Buffer;
  readonly attributes: Buffer;
  readonly algorithm: Buffer;
  readonly more: Buffer;
  readonly afterIt: Buffer;
  readonly sign: (body: Buffer) => Buffer;
}

/** A request that is right but for what is told. */
function request(change: Partial<Request> = {}): string {
  const {
    publicKey,
    version,
    name,
    attributes,
    algorithm,
    more,
    afterIt,
    sign: signIt,
  }: Request = {
    publicKey: writePublicKey(keys.publicKey),
    version: zero,
    name: commonName("x"),
    attributes: noAttributes,
    algorithm: ecdsaSha256,
    more: Buffer.alloc(0),
    afterIt: Buffer.alloc(0),
    sign: (body) => sign("sha256", body, keys.privateKey),
    ...change,
  };
  const body = sequence(version, name, publicKey, attributes, more);
  return pem(Buffer.concat([sequence(body, algorithm, bitString(signIt(body))), afterIt]));
}

function requestOf(pair: { publicKey: KeyObject; privateKey: KeyObject }, algorithm: Buffer, hash: string | null): string {
  return request({ publicKey: writePublicKey(pair.publicKey), algorithm, sign: (body) => sign(hash, body, pair.privateKey) });
}

describe("a certificate request", () => {
  let authority: CertificateAuthority;
  beforeAll(async () => {
    const now = new Date();
    authority = await openAuthority({ ...(await createAuthority({ installation: "lab", now, years: 1 })), installation: "lab" });
  });

  const issue = (csrPem: string) =>
    authority.issueAgent({ csrPem, hostId: "h-1", hostName: "edge", ttlMs: 3_600_000, now: new Date() });

  it("gives its public key, and nothing else", async () => {
    expect(readPublicKey(honest)).toEqual(writePublicKey(keys.publicKey));
    expect(readPublicKey(`\n${honest.replaceAll("\n", "\r\n")}\n`)).toEqual(writePublicKey(keys.publicKey));
    expect(readPublicKey(request())).toEqual(writePublicKey(keys.publicKey));
    const { certPem } = await issue(honest);
    expect(new X509Certificate(certPem).publicKey.equals(keys.publicKey)).toBe(true);
  });

  const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength });
  const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve });
  const ed25519 = sequence(objectId("1.3.101.112"));

  it("may be of a P-256, RSA or Ed25519 key, signed with SHA-256 to SHA-512", async () => {
    const ecdsa = (arc: number) => sequence(objectId(`1.2.840.10045.4.3.${arc}`));
    const strong: string[] = [
      requestOf(keys, ecdsa(3), "sha384"),
      requestOf(keys, ecdsa(4), "sha512"),
      requestOf(rsa(2048), rsaSha256, "sha256"),
      requestOf(generateKeyPairSync("ed25519"), ed25519, null),
    ];
    for (const csrPem of strong) expect(new X509Certificate((await issue(csrPem)).certPem).ca).toBe(false);
  });

  const weak: [string, () => string, string][] = [
    ["an RSA key of 1024 bits", () => requestOf(rsa(1024), rsaSha256, "sha256"), "its key must be"],
    ["a key on P-384", () => requestOf(ec("P-384"), ecdsaSha256, "sha256"), "its key must be"],
    ["a key on secp256k1", () => requestOf(ec("secp256k1"), ecdsaSha256, "sha256"), "its key must be"],
    ["an Ed448 key", () => requestOf(generateKeyPairSync("ed448"), sequence(objectId("1.3.101.113")), null), "its key must be"],
    ["an X25519 key", () => request({ publicKey: writePublicKey(generateKeyPairSync("x25519").publicKey) }), "its key must be"],
    ["a compressed point", () => request({ publicKey: compressed(writePublicKey(keys.publicKey)) }), "unusual way"],
    ["a key and bytes after it", () => request({ publicKey: lengthened(writePublicKey(keys.publicKey)) }), "is refused"],
    ["SHA-1", () => requestOf(keys, sequence(objectId("1.2.840.10045.4.1")), "sha1"), "algorithm does not fit"],
    ["the algorithm of another kind of key", () => request({ algorithm: rsaSha256 }), "algorithm does not fit"],
    ["RSA without its parameters", () => request({ algorithm: sequence(objectId("1.2.840.113549.1.1.11")) }), "algorithm"],
    [
      "parameters that ECDSA has none of",
      () => request({ algorithm: sequence(objectId("1.2.840.10045.4.3.2"), Buffer.from([5, 0])) }),
      "algorithm",
    ],
  ];

  const unsigned: [string, () => string, string][] = [
    ["the signature of another key", () => request({ sign: (body) => sign("sha256", body, others.privateKey) }), "not signed"],
    ["the key of somebody else", () => request({ publicKey: writePublicKey(others.publicKey) }), "not signed"],
    [
      "a signature of other bytes",
      () => request({ sign: () => sign("sha256", Buffer.from("x"), keys.privateKey) }),
      "not signed",
    ],
    ["a signature by another hash", () => request({ sign: (body) => sign("sha384", body, keys.privateKey) }), "not signed"],
    ["an empty signature", () => request({ sign: () => Buffer.alloc(0) }), "not signed"],
    ["noise as a signature", () => request({ sign: () => Buffer.alloc(70, 7) }), "not signed"],
    [
      "a signature and bytes after it",
      () => request({ sign: (body) => Buffer.concat([sign("sha256", body, keys.privateKey), Buffer.from([0])]) }),
      "is refused",
    ],
  ];

  const deformed: [string, () => string, string][] = [
    ["nothing", () => "", "cannot be read"],
    ["a word", () => "x", "cannot be read"],
    ["DER without PEM", () => der.toString("base64"), "cannot be read"],
    ["a certificate", () => authority.certPem, "cannot be read"],
    ["an empty block", () => pem(Buffer.alloc(0)), "cannot be read"],
    ["two blocks", () => honest + honest, "cannot be read"],
    ["text before the block", () => `x\n${honest}`, "cannot be read"],
    ["headers in the block", () => honest.replace("\n", "\nProc-Type: 4,ENCRYPTED\n\n"), "cannot be read"],
    ["more than 16 kB", () => pem(Buffer.alloc(20_000)), "longer than 16384"],
    ["bytes after it", () => request({ afterIt: Buffer.from([0, 0]) }), "cannot be read"],
    ["an element after it", () => request({ afterIt: zero }), "cannot be read"],
    ["an element after the attributes", () => request({ more: zero }), "cannot be read"],
    ["no attributes", () => request({ attributes: Buffer.alloc(0) }), "cannot be read"],
    ["attributes of another kind", () => request({ attributes: encode(contextTag(1, "constructed")) }), "cannot be read"],
    ["another version", () => request({ version: integer(Buffer.from([1])) }), "cannot be read"],
    ["a version that is longer than needed", () => request({ version: Buffer.from([2, 2, 0, 0]) }), "cannot be read"],
    ["a name that is no sequence", () => request({ name: zero }), "cannot be read"],
    ["a key that is no sequence", () => request({ publicKey: zero }), "cannot be read"],
    ["a key that is none", () => request({ publicKey: sequence() }), "cannot be read"],
    ["an unfinished byte in the signature", () => withUnusedBits(), "cannot be read"],
    [
      "an indefinite length outside",
      () => pem(Buffer.concat([Buffer.from([0x30, 0x80]), der.subarray(3), Buffer.alloc(2)])),
      "cannot be read",
    ],
    [
      "an indefinite length inside",
      () => request({ name: Buffer.concat([Buffer.from([0x30, 0x80]), Buffer.alloc(2)]) }),
      "cannot be read",
    ],
    ["a length that is longer than needed", () => request({ name: Buffer.from([0x30, 0x81, 0x00]) }), "cannot be read"],
    [
      "a length with a leading zero",
      () => pem(Buffer.concat([Buffer.from([0x30, 0x82, 0x00]), der.subarray(2)])),
      "cannot be read",
    ],
    ["a length of four bytes", () => pem(Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff])), "cannot be read"],
    ["a length beyond its end", () => pem(Buffer.from([0x30, 0x7f, 0x02])), "cannot be read"],
    ["a tag of several bytes", () => pem(Buffer.from([0x3f, 0x81, 0x01, 0x00])), "cannot be read"],
    ["thousands of nested sequences", () => pem(Buffer.alloc(10_000, 0x30)), "cannot be read"],
  ];

  it.each([...weak, ...unsigned, ...deformed])("with %s is refused", async (_, make, why) => {
    const csrPem = make();
    const refused = { name: "CsrRefused", reason: "REQUEST_INVALID", message: expect.stringContaining(why) };
    await expect(issue(csrPem)).rejects.toMatchObject(refused);
    await expect(authority.issueMaster({ csrPem, names: [], ttlMs: 1_000, now: new Date() })).rejects.toMatchObject(refused);
  });

  it("is refused wherever it is cut off, and whichever bit of it is turned", () => {
    const refused = expect.objectContaining({ name: "CsrRefused", reason: "REQUEST_INVALID" });
    const outcome = (bytes: Buffer) => {
      try {
        return readPublicKey(pem(bytes));
      } catch (error) {
        return error;
      }
    };
    for (let length = 0; length < der.length; length += 1) expect(outcome(der.subarray(0, length)), `${length}`).toEqual(refused);
    for (let bit = 0; bit < der.length * 8; bit += 1) {
      const changed = Buffer.from(der);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(outcome(changed), `bit ${bit}`).toEqual(refused);
    }
  });
});

function compressed(spki: Buffer): Buffer {
  const head = spki.subarray(2, 23);
  const point = spki.subarray(26);
  const sign_ = ((point[64] ?? 0) & 1) === 1 ? 3 : 2;
  return sequence(head, bitString(Buffer.concat([Buffer.from([sign_]), point.subarray(1, 33)])));
}

function lengthened(spki: Buffer): Buffer {
  return sequence(spki.subarray(2), zero);
}

function withUnusedBits(): string {
  const body = sequence(zero, commonName("x"), writePublicKey(keys.publicKey), noAttributes);
  return pem(sequence(body, ecdsaSha256, bitString(sign("sha256", body, keys.privateKey), 1)));
}
