import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KeyAndCertificate, longAgo, newAgent, newAuthority, newMaster } from "../support/certificates.ts";

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
  ): Promise<{ client: string; server: string }> {
    const options = {
      key: server.keyPem,
      cert: server.certPem,
      ca: authority.certPem,
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
