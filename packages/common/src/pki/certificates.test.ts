import { generateKeyPairSync, X509Certificate } from "node:crypto";
// Node.js 20 leaves `tls.createSecureContext` undefined for good when `toLegacyObject` is what loads it first.
import "node:tls";
import { beforeAll, describe, expect, it } from "vitest";
import { commonName, writeCertificate } from "./certificate.ts";
import {
  type CertificateAuthority,
  certificateHash,
  createAuthority,
  createKeyAndCsr,
  openAuthority,
  readCertificate,
} from "./certificates.ts";
import { contextTag, encode, objectId, octetString, sequence } from "./der.ts";
import { identityUri } from "./identity.ts";
import { toPem } from "./pem.ts";
import { signed } from "./signing.ts";
import { writePublicKey } from "./signing-request.ts";

const installation = "lab-1";
const now = new Date("2026-03-01T12:00:00.500Z");
const hour = 3_600_000;
const agent = { hostId: "h-1", hostName: "edge-01", ttlMs: hour, now };

describe("an authority", () => {
  let files: { certPem: string; keyPem: string };
  let authority: CertificateAuthority;

  beforeAll(async () => {
    files = await createAuthority({ installation, now, years: 10 });
    authority = await openAuthority({ ...files, installation });
  });

  it("signs leaf certificates only, for ten years", () => {
    const own = new X509Certificate(files.certPem);
    expect(own.ca).toBe(true);
    expect(own.verify(own.publicKey)).toBe(true);
    expect(authority.hash).toBe(own.fingerprint256.replaceAll(":", "").toLowerCase());
    expect(certificateHash(files.certPem)).toBe(authority.hash);
    expect(new Date(own.validTo).getUTCFullYear()).toBe(2036);
  });

  it("is not opened with the key of another, nor with a leaf certificate", async () => {
    const other = await createAuthority({ installation, now, years: 1 });
    await expect(openAuthority({ certPem: files.certPem, keyPem: other.keyPem, installation })).rejects.toThrow(
      "does not belong",
    );
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "x" });
    const leaf = await authority.issueAgent({ ...agent, csrPem });
    await expect(openAuthority({ certPem: leaf.certPem, keyPem, installation })).rejects.toThrow("may not sign");
  });

  it("binds an agent's certificate to its host", async () => {
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "whatever" });
    const issued = await authority.issueAgent({ ...agent, csrPem });
    const parsed = new X509Certificate(issued.certPem);
    expect(parsed.checkIssued(new X509Certificate(files.certPem))).toBe(true);
    expect(parsed.verify(new X509Certificate(files.certPem).publicKey)).toBe(true);
    expect(parsed.subjectAltName).toBe("URI:urn:decnet:lab-1:agent:h-1");
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(keyPem).toContain("BEGIN PRIVATE KEY");
    const facts = readCertificate(issued.certPem);
    expect(facts).toEqual(readCertificate(parsed.raw));
    expect(facts).toMatchObject({
      serial: issued.serial,
      fingerprint: issued.fingerprint,
      identity: { role: "agent", hostId: "h-1", installation },
      subject: "CN=edge-01",
    });
    expect(issued.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(issued.notBefore).toEqual(new Date("2026-03-01T11:55:00Z"));
    expect(issued.notAfter).toEqual(new Date("2026-03-01T13:00:00Z"));
  });

  it("gives the master its names and addresses", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "whatever" });
    const names = ["master.example", "192.0.2.7", "2001:db8::7"];
    const issued = await authority.issueMaster({ csrPem, names, ttlMs: hour, now });
    const parsed = new X509Certificate(issued.certPem);
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    for (const name of ["192.0.2.7", "2001:db8::7"]) expect(parsed.checkIP(name)).toBe(name);
    expect(parsed.checkHost("master.example")).toBe("master.example");
    expect(readCertificate(issued.certPem).identity).toEqual({ role: "master", installation });
  });

  it("gives each certificate a serial of its own: positive, 16 bytes", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    const serials = new Set<string>();
    for (let count = 0; count < 20; count += 1) serials.add((await authority.issueAgent({ ...agent, csrPem })).serial);
    expect(serials.size).toBe(20);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });

  it("lets no certificate outlive its own", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    const issued = await authority.issueAgent({ ...agent, csrPem, ttlMs: 100 * 365 * 24 * hour });
    expect(issued.notAfter).toEqual(new Date(new X509Certificate(files.certPem).validTo));
  });

  it("takes no name from a request", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const wanted = sequence(
      sequence(objectId("2.5.29.19"), octetString(sequence(Buffer.from([0x01, 0x01, 0xff])))),
      sequence(
        objectId("2.5.29.17"),
        octetString(sequence(uri(identityUri({ role: "master", installation })), dns("master.example"))),
      ),
      sequence(objectId("2.5.29.37"), octetString(sequence(objectId("1.3.6.1.5.5.7.3.1")))),
    );
    const extensionRequest = sequence(objectId("1.2.840.113549.1.9.14"), encode(0x31, wanted));
    const attributes = encode(contextTag(0, "constructed"), extensionRequest);
    const body = sequence(encode(0x02, Buffer.alloc(1)), commonName("master"), writePublicKey(publicKey), attributes);
    const csrPem = toPem("CERTIFICATE REQUEST", signed(body, privateKey));
    const parsed = new X509Certificate((await authority.issueAgent({ ...agent, csrPem })).certPem);
    expect(parsed.subject).toBe("CN=edge-01");
    expect(parsed.subjectAltName).toBe("URI:urn:decnet:lab-1:agent:h-1");
    expect(parsed.ca).toBe(false);
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  it("gives no host name a meaning", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    const odd = ["#0c026869", "a, CN=b", "a+O=b", '"a"', "ä€", "URI:urn:decnet:lab-1:master", "x".repeat(200), ""];
    for (const hostName of odd) {
      const { certPem } = await authority.issueAgent({ ...agent, csrPem, hostName });
      expect(readCertificate(certPem).identity).toEqual({ role: "agent", hostId: "h-1", number: 0, installation });
      const { subject } = new X509Certificate(certPem).toLegacyObject();
      expect({ ...subject }).toEqual({ CN: hostName === "" ? "h-1" : hostName.slice(0, 64) });
    }
    await expect(authority.issueAgent({ ...agent, csrPem, hostId: "a:master" })).rejects.toThrow("cannot stand in a certificate");
  });

  it("gives a master no name that cannot stand in a certificate", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    for (const name of ["", "a b", "bücher.example", "a\0b"])
      await expect(authority.issueMaster({ csrPem, names: [name], ttlMs: hour, now })).rejects.toThrow(
        "cannot stand in a certificate",
      );
  });

  it("writes every address in its bytes, and times of each century", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    const addresses = ["::", "::1", "fe80::1%eth0", "2001:db8::", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.7", "255.0.0.1"];
    const { certPem } = await authority.issueMaster({ csrPem, names: addresses, ttlMs: hour, now });
    const parsed = new X509Certificate(certPem);
    for (const address of addresses) expect(parsed.checkIP(address.replace("%eth0", ""))).toBeDefined();
    const late = await createAuthority({ installation, now: new Date("2049-06-01T00:00:00Z"), years: 10 });
    const own = new X509Certificate(late.certPem);
    expect([new Date(own.validFrom), new Date(own.validTo)]).toEqual([
      new Date("2049-05-31T23:55:00Z"),
      new Date("2059-06-01T12:00:00Z"),
    ]);
  });
});

describe("a certificate of others", () => {
  it("has no identity, also when a name of it looks like one", () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const master = identityUri({ role: "master", installation });
    const named = (...names: Buffer[]) => {
      const certificate = writeCertificate(
        {
          serial: Buffer.from([1]),
          issuer: commonName("other"),
          subject: commonName("other"),
          notBefore: now,
          notAfter: new Date(now.getTime() + hour),
          publicKey: writePublicKey(publicKey),
          extensions: [sequence(objectId("2.5.29.17"), octetString(sequence(...names)))],
        },
        privateKey,
      );
      return readCertificate(certificate).identity;
    };
    expect(named()).toBeUndefined();
    expect(named(dns(master))).toBeUndefined();
    expect(named(dns(`x, URI:${master}, x`))).toBeUndefined();
    expect(named(uri(`${master}, URI:${master}`))).toBeUndefined();
    expect(named(uri(master), uri("urn:decnet:lab-1:agent:h-1"))).toBeUndefined();
    expect(named(uri(master))).toEqual({ role: "master", installation });
  });
});

function uri(name: string): Buffer {
  return encode(contextTag(6, "primitive"), Buffer.from(name));
}

function dns(name: string): Buffer {
  return encode(contextTag(2, "primitive"), Buffer.from(name));
}
