import "reflect-metadata";
import { generateKeyPairSync, webcrypto, X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  certificateHash,
  createAuthority,
  createKeyAndCsr,
  openAuthority,
  readCertificate,
} from "./certificates.ts";
import { identityUri } from "./identity.ts";
import { CsrRefused } from "./signing-request.ts";

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
    const parsed = new x509.X509Certificate(files.certPem);
    expect(parsed.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: true, pathLength: 0, critical: true });
    const usages = parsed.getExtension(x509.KeyUsagesExtension)?.usages;
    expect(usages).toBe(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign);
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
    const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const request = await x509.Pkcs10CertificateRequestGenerator.create({
      keys,
      name: "CN=master, O=evil",
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: identityUri({ role: "master", installation }) },
          { type: "dns", value: "master.example" },
        ]),
        new x509.BasicConstraintsExtension(true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      ],
    });
    const parsed = new X509Certificate((await authority.issueAgent({ ...agent, csrPem: request.toString("pem") })).certPem);
    expect(parsed.subject).toBe("CN=edge-01");
    expect(parsed.subjectAltName).toBe("URI:urn:decnet:lab-1:agent:h-1");
    expect(parsed.ca).toBe(false);
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  it("gives no host name a meaning", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "x" });
    for (const hostName of ["#0c026869", "a, CN=b", "a+O=b", '"a"', "ä€", "URI:urn:decnet:lab-1:master", "x".repeat(200), ""]) {
      const { certPem } = await authority.issueAgent({ ...agent, csrPem, hostName });
      expect(readCertificate(certPem).identity).toEqual({ role: "agent", hostId: "h-1", installation });
      const subject = new x509.X509Certificate(certPem).subjectName.toJSON();
      expect(subject).toEqual([{ CN: [hostName === "" ? "h-1" : hostName.slice(0, 64)] }]);
    }
    await expect(authority.issueAgent({ ...agent, csrPem, hostId: "a:master" })).rejects.toThrow("cannot stand in a certificate");
  });

  it("accepts RSA and Ed25519 keys", async () => {
    const rsa = { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
    for (const algorithm of [rsa, { name: "Ed25519" }]) {
      const issued = await authority.issueAgent({ ...agent, csrPem: await requestWith(algorithm) });
      expect(readCertificate(issued.certPem).identity).toMatchObject({ hostId: "h-1" });
    }
  });

  it("refuses weak and unknown keys", async () => {
    const rsa = { name: "RSASSA-PKCS1-v1_5", modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
    const refused = { name: "CsrRefused", reason: "REQUEST_INVALID", message: expect.stringContaining("its key must be") };
    for (const algorithm of [rsa, { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" }])
      await expect(authority.issueAgent({ ...agent, csrPem: await requestWith(algorithm) })).rejects.toMatchObject(refused);
  });

  it("refuses a request that was changed or that is none", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "honest" });
    const der = Buffer.from(csrPem.replaceAll(/-----.*-----|\s/g, ""), "base64");
    const pem = (bytes: Buffer) =>
      `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    const renamed = Buffer.from(der);
    renamed.write("hostile", renamed.indexOf("honest") - 1);
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const foreignKey = Buffer.from(der);
    const spki = publicKey.export({ format: "der", type: "spki" });
    spki.copy(foreignKey, foreignKey.indexOf(spki.subarray(0, 26)));
    const garbage = [
      "",
      "x",
      csrPem.slice(0, 200),
      files.certPem,
      files.keyPem,
      pem(Buffer.alloc(100, 0x30)),
      "A".repeat(20_000),
    ];
    for (const text of [...garbage, pem(renamed), pem(foreignKey)]) {
      await expect(authority.issueAgent({ ...agent, csrPem: text })).rejects.toBeInstanceOf(CsrRefused);
      await expect(authority.issueMaster({ csrPem: text, names: [], ttlMs: hour, now })).rejects.toBeInstanceOf(CsrRefused);
    }
    for (let at = 0; at < der.length; at += 7) {
      const changed = Buffer.from(der);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      await expect(authority.issueAgent({ ...agent, csrPem: pem(changed) })).rejects.toBeInstanceOf(CsrRefused);
    }
  });
});

describe("a certificate of others", () => {
  it("has no identity, also when a name of it looks like one", async () => {
    const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const master = identityUri({ role: "master", installation });
    const named = async (...names: x509.JsonGeneralNames) => {
      const certificate = await x509.X509CertificateGenerator.createSelfSigned({
        keys,
        name: "CN=other",
        signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
        extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)],
      });
      return readCertificate(Buffer.from(certificate.rawData)).identity;
    };
    expect(await named()).toBeUndefined();
    expect(await named({ type: "dns", value: master })).toBeUndefined();
    expect(await named({ type: "dns", value: `x, URI:${master}, x` })).toBeUndefined();
    expect(await named({ type: "url", value: `${master}, URI:${master}` })).toBeUndefined();
    expect(await named({ type: "url", value: master }, { type: "url", value: "urn:decnet:lab-1:agent:h-1" })).toBeUndefined();
    expect(await named({ type: "url", value: master })).toEqual({ role: "master", installation });
  });
});

async function requestWith(algorithm: { name: string }): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  if (!("privateKey" in keys)) throw new Error("not a pair");
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ keys, name: "CN=x", signingAlgorithm: algorithm });
  return request.toString("pem");
}
