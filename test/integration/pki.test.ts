import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { type CertificateAuthority, createKeyAndCsr, openAuthority, readCertificate } from "@decnet/common/pki/certificates";
import { readPublicKey } from "@decnet/common/pki/signing-request";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KeyAndCertificate, longAgo, newAgent, newAuthority, newMaster } from "../support/certificates.ts";
import { old } from "../support/old-certificates.ts";

const hour = 3_600_000;

/** Certificates as programs that are not ours see them: openssl, and Node's TLS in real handshakes on loopback. */
describe("certificates, seen by programs that are not ours", () => {
  let folder: string;
  let authority: CertificateAuthority;
  let other: CertificateAuthority;
  let agent: KeyAndCertificate;
  let master: KeyAndCertificate;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-pki-"));
    authority = await newAuthority();
    other = await newAuthority();
    agent = await newAgent(authority);
    master = await newMaster(authority);
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function verify(ca: CertificateAuthority, cert: string, ...args: string[]): Promise<string> {
    const [caFile, certFile] = [join(folder, "ca.pem"), join(folder, "cert.pem")];
    await writeFile(caFile, ca.certPem);
    await writeFile(certFile, cert);
    const result = await execa("openssl", ["verify", "-x509_strict", "-CAfile", caFile, ...args, certFile], { reject: false });
    return result.exitCode === 0 ? "OK" : result.stderr;
  }

  it("openssl verifies the chain, the purposes and the names", async () => {
    expect(await verify(authority, authority.certPem)).toBe("OK");
    expect(await verify(authority, agent.certPem, "-purpose", "sslclient")).toBe("OK");
    expect(await verify(authority, agent.certPem, "-purpose", "sslserver")).toContain("purpose");
    expect(await verify(authority, master.certPem, "-purpose", "sslserver", "-verify_ip", "127.0.0.1")).toBe("OK");
    expect(await verify(authority, master.certPem, "-purpose", "sslserver", "-verify_hostname", "localhost")).toBe("OK");
    expect(await verify(authority, master.certPem, "-purpose", "sslserver", "-verify_hostname", "other")).toContain("mismatch");
    expect(await verify(authority, master.certPem, "-purpose", "sslclient")).toContain("purpose");
    expect(await verify(other, agent.certPem)).not.toBe("OK");
  });

  it("openssl's own requests are accepted, with each kind of key", async () => {
    for (const kind of ["ec:prime256v1", "rsa:2048", "ed25519"]) {
      const [algorithm = "", detail] = kind.split(":");
      const options = { ec: [`ec_paramgen_curve:${detail}`], rsa: [`rsa_keygen_bits:${detail}`] }[algorithm] ?? [];
      const keyFile = join(folder, "request.key");
      await execa("openssl", ["genpkey", "-algorithm", algorithm, ...options.flatMap((o) => ["-pkeyopt", o]), "-out", keyFile]);
      const csr = await execa("openssl", [
        "req",
        "-new",
        "-key",
        keyFile,
        "-subj",
        "/CN=x",
        "-addext",
        "subjectAltName=DNS:evil",
      ]);
      const issued = await authority.issueAgent({
        csrPem: csr.stdout,
        hostId: "h-2",
        hostName: "x",
        ttlMs: hour,
        now: new Date(),
      });
      expect(await verify(authority, issued.certPem, "-purpose", "sslclient")).toBe("OK");
    }
  });

  it("openssl reads in them what was meant, and nothing more", async () => {
    const text = async (pem: string) => {
      const options = "no_pubkey,no_sigdump,no_header,no_version,no_serial,no_validity";
      const { stdout } = await execa("openssl", ["x509", "-noout", "-text", "-certopt", options, "-nameopt", "RFC2253,utf8"], {
        input: pem,
      });
      const lines = stdout.split("\n").map((line) => line.trim());
      return lines.filter((line) => line !== "").map((line) => line.replace(/^([\dA-F]{2}:){19}[\dA-F]{2}$/, "<key id>"));
    };
    const leaf = (purpose: string, names: string) => [
      "X509v3 Basic Constraints: critical",
      "CA:FALSE",
      "X509v3 Key Usage: critical",
      "Digital Signature",
      "X509v3 Extended Key Usage:",
      purpose,
      "X509v3 Subject Alternative Name:",
      names,
      "X509v3 Subject Key Identifier:",
      "<key id>",
      "X509v3 Authority Key Identifier:",
      "<key id>",
    ];
    const named = (subject: string) => [
      "Signature Algorithm: ecdsa-with-SHA256",
      "Issuer: CN=decnet lab",
      `Subject: CN=${subject}`,
    ];
    expect(await text(authority.certPem)).toEqual([
      ...named("decnet lab"),
      "X509v3 extensions:",
      "X509v3 Basic Constraints: critical",
      "CA:TRUE, pathlen:0",
      "X509v3 Key Usage: critical",
      "Certificate Sign, CRL Sign",
      "X509v3 Subject Key Identifier:",
      "<key id>",
    ]);
    expect(await text(agent.certPem)).toEqual([
      ...named("h-1"),
      "X509v3 extensions:",
      ...leaf("TLS Web Client Authentication", "URI:urn:decnet:lab:agent:h-1"),
    ]);
    expect(await text(master.certPem)).toEqual([
      ...named("decnet master"),
      "X509v3 extensions:",
      ...leaf(
        "TLS Web Server Authentication",
        "URI:urn:decnet:lab:master, DNS:master.example, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
      ),
    ]);
  });

  it("openssl verifies the requests that are made here", async () => {
    const { csrPem } = await createKeyAndCsr({ commonName: "edge-1, with a comma" });
    const { stdout, stderr } = await execa("openssl", ["req", "-verify", "-noout", "-subject", "-nameopt", "utf8"], {
      input: csrPem,
    });
    expect(stderr).toContain("verify OK");
    expect(stdout.trim()).toMatch(/^subject=CN ?= ?edge-1, with a comma$/);
  });

  it("openssl's request for a curve that is spelled out is refused, although it is P-256", async () => {
    const options = ["ec_paramgen_curve:prime256v1", "ec_param_enc:explicit"].flatMap((option) => ["-pkeyopt", option]);
    const keyFile = join(folder, "explicit.key");
    await execa("openssl", ["genpkey", "-algorithm", "ec", ...options, "-out", keyFile]);
    const { stdout } = await execa("openssl", ["req", "-new", "-key", keyFile, "-subj", "/CN=x"]);
    expect(() => readPublicKey(stdout)).toThrow(/its key (must be|is written)/);
  });

  describe("that versions of before wrote", () => {
    const files = { certPem: old.caPem, keyPem: old.caKeyPem, installation: "lab-1" };
    const oldAgent = { keyPem: old.agentKeyPem, certPem: old.agentPem };
    const oldMaster = { keyPem: old.masterKeyPem, certPem: old.masterPem };

    it("still say who they are of", () => {
      expect(readCertificate(old.agentPem)).toMatchObject({
        subject: "CN=edge-01",
        identity: { role: "agent", hostId: "h-1", installation: "lab-1" },
      });
      expect(readCertificate(old.masterPem).identity).toEqual({ role: "master", installation: "lab-1" });
    });

    it("are accepted by new ones of the same authority, and accept them", async () => {
      const authority = await openAuthority(files);
      const [newerAgent, newerMaster] = [await newAgent(authority), await newMaster(authority)];
      for (const { certPem } of [newerAgent, oldAgent])
        expect(await verify(authority, certPem, "-purpose", "sslclient")).toBe("OK");
      for (const { certPem } of [newerMaster, oldMaster])
        expect(await verify(authority, certPem, "-purpose", "sslserver")).toBe("OK");
      for (const [server, client] of [
        [oldMaster, newerAgent],
        [newerMaster, oldAgent],
        [oldMaster, oldAgent],
      ] as const)
        expect(await shake(server, client, authority, authority)).toEqual({ client: "accepted", server: "accepted" });
    });

    it("and their requests are accepted too", async () => {
      const authority = await openAuthority(files);
      const issued = await authority.issueAgent({
        csrPem: old.agentRequestPem,
        hostId: "h-1",
        hostName: "edge-01",
        ttlMs: hour,
        now: new Date(),
      });
      expect(await shake(oldMaster, { keyPem: old.agentKeyPem, certPem: issued.certPem }, authority, authority)).toEqual({
        client: "accepted",
        server: "accepted",
      });
    });
  });

  it("a TLS server and a TLS client accept each other in their roles", async () => {
    expect(await shake(master, agent)).toEqual({ client: "accepted", server: "accepted" });
  });

  it("an agent's certificate makes no server", async () => {
    expect((await shake(agent, agent)).client).toBe("INVALID_PURPOSE");
  });

  it("the master's certificate makes no client", async () => {
    expect((await shake(master, master)).server).toBe("INVALID_PURPOSE");
  });

  it("the certificate of another authority is refused on either side", async () => {
    expect((await shake(master, await newAgent(other))).server).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    expect((await shake(master, agent, other)).client).toBe("SELF_SIGNED_CERT_IN_CHAIN");
  });

  it("an expired certificate is refused", async () => {
    expect((await shake(master, await newAgent(authority, "h-1", longAgo))).server).toBe("CERT_HAS_EXPIRED");
  });

  /** One handshake on loopback, and what each side thinks of the other. */
  async function shake(
    server: KeyAndCertificate,
    client: KeyAndCertificate,
    trusted = authority,
    believed = authority,
  ): Promise<{ client: string; server: string }> {
    const options = {
      key: server.keyPem,
      cert: server.certPem,
      ca: believed.certPem,
      requestCert: true,
      rejectUnauthorized: false,
    };
    const judged = (socket: tls.TLSSocket) => (socket.authorized ? "accepted" : `${socket.authorizationError}`);
    const listener = tls.createServer(options);
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port, address } = listener.address() as AddressInfo;
    expect(isIP(address)).toBe(4);
    const seenByServer = new Promise<string>((resolve) =>
      listener.once("secureConnection", (socket) => {
        socket.once("error", () => socket.destroy()).resume();
        resolve(judged(socket));
      }),
    );
    const socket = tls.connect({
      port,
      host: address,
      key: client.keyPem,
      cert: client.certPem,
      ca: trusted.certPem,
      rejectUnauthorized: false,
    });
    try {
      await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
      return { client: judged(socket), server: await seenByServer };
    } finally {
      socket.destroy();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    }
  }
});
