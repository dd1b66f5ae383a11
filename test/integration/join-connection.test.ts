import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { create } from "@bufbuild/protobuf";
import { joinSwarm } from "@decnet/agent/join";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { commonName, leafExtensions, readSubject, writeCertificate } from "@decnet/common/pki/certificate";
import { type CertificateAuthority, createKeyAndCsr } from "@decnet/common/pki/certificates";
import { formatJoinToken } from "@decnet/common/pki/join-token";
import { toPem } from "@decnet/common/pki/pem";
import { readPublicKey, writePublicKey } from "@decnet/common/pki/signing-request";
import { createErrorInterceptor } from "@decnet/common/rpc/error-interceptor";
import { startRpcServer } from "@decnet/common/rpc/server";
import { AgentFactsSchema, EnrollmentService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { type KeyAndCertificate, longAgo, newAgent, newAuthority, newMaster } from "../support/certificates.ts";

const hour = 3_600_000;

/** A machine that joins, and servers that play the master, with the right certificates or with others. */
describe("the connection over which a machine joins", () => {
  let authority: CertificateAuthority;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    authority = await newAuthority();
  });

  afterEach(async () => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
  });

  /** Enrols any agent that asks; tells who asked, and how many connections there were. */
  async function serve(
    own: KeyAndCertificate,
    caPem = authority.certPem,
    refusal?: AppError,
    refusals = Number.POSITIVE_INFINITY,
    losses = 0,
  ) {
    const seen = { connections: 0, secrets: [] as string[], keys: new Set<string>() };
    const sockets = new Set<net.Socket>();
    const server = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      routes: (router) =>
        router.service(EnrollmentService, {
          async enroll({ csr, tokenSecret }) {
            seen.secrets.push(tokenSecret);
            seen.keys.add(csr);
            losses -= 1;
            if (losses >= 0) for (const socket of sockets) socket.destroy();
            const { certPem } = await authority.issueAgent({
              csrPem: csr,
              hostId: "h-1",
              hostName: "edge",
              ttlMs: hour,
              now: new Date(),
            });
            return { hostId: "h-1", hostName: "edge", installation: "lab", certificate: certPem, caCertificate: caPem };
          },
        }),
      interceptors:
        refusal === undefined
          ? []
          : [
              createErrorInterceptor(createLogger("test", "error")),
              (next) => (request) => {
                refusals -= 1;
                return refusals < 0 ? next(request) : Promise.reject(refusal);
              },
            ],
      fallback: (_, response) => response.writeHead(404).end(),
      graceMs: 100,
      tls: { host: "127.0.0.1", port: 0, ...own, caPem },
    });
    cleanups.push(() => server.close());
    const front = net.createServer((socket) => {
      seen.connections += 1;
      sockets.add(socket);
      const behind = net.connect(server.tlsPort ?? 0, "127.0.0.1");
      for (const [from, to] of [
        [socket, behind],
        [behind, socket],
      ] as const)
        from
          .on("error", () => to.destroy())
          .once("close", () => to.destroy())
          .pipe(to);
    });
    await once(front.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => front.close());
    return { seen, address: `127.0.0.1:${(front.address() as net.AddressInfo).port}` };
  }

  const tokenFor = (...masters: string[]) =>
    formatJoinToken({ masters, caHash: authority.hash, id: "jt-1", secret: "the secret" });
  const join = (token: string, { patienceMs = 0, onProgress = (_: string): void => undefined } = {}) =>
    joinSwarm({ token, facts: create(AgentFactsSchema), onProgress, patienceMs });

  it("is one: the same that proved to be the master's carries the token", async () => {
    const { seen, address } = await serve(await newMaster(authority));
    const identity = await join(tokenFor(address));
    expect(seen).toMatchObject({ connections: 1, secrets: ["the secret"] });
    expect(identity).toMatchObject({ hostId: "h-1", installation: "lab", masters: [address] });
    expect(new X509Certificate(identity.certificate).checkPrivateKey(createPrivateKey(identity.keyPem))).toBe(true);
    expect(new X509Certificate(identity.caCertificate).raw).toEqual(new X509Certificate(authority.certPem).raw);
  });

  it("is tried at the next address when nobody answers at the first, or somebody else", async () => {
    const other = await newAuthority();
    const strange = await serve(await newMaster(other), other.certPem);
    const { seen, address } = await serve(await newMaster(authority));
    const identity = await join(tokenFor("127.0.0.1:1", strange.address, address));
    expect(identity.masters).toEqual([address, "127.0.0.1:1", strange.address]);
    expect([strange.seen.secrets, seen.connections]).toEqual([[], 1]);
  });

  /** Says that the authority issued it, in every field, and is signed by somebody else. */
  async function forgedMaster(): Promise<KeyAndCertificate> {
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "x" });
    const publicKey = readPublicKey(csrPem);
    const genuine = new X509Certificate(authority.certPem);
    const names = { purpose: "server", uri: "urn:decnet:lab:master", names: ["127.0.0.1"] } as const;
    const body = {
      serial: Buffer.from([1]),
      issuer: readSubject(genuine.raw),
      subject: commonName("decnet master"),
      notBefore: new Date(Date.now() - hour),
      notAfter: new Date(Date.now() + hour),
      publicKey,
      extensions: leafExtensions({ ...names, publicKey, authorityKey: writePublicKey(genuine.publicKey) }),
    };
    return { keyPem, certPem: toPem("CERTIFICATE", writeCertificate(body, createPrivateKey(keyPem))) };
  }

  const others: [string, () => Promise<readonly [KeyAndCertificate, string?]>, RegExp][] = [
    [
      "sends another authority",
      async () => {
        const other = await newAuthority();
        return [await newMaster(other), other.certPem];
      },
      /authority is not the one that the token names/,
    ],
    [
      "sends the right authority with a certificate that it forged",
      async () => [await forgedMaster()],
      /not signed by the certificate authority/,
    ],
    [
      "sends the right authority with a certificate of another one",
      async () => [await newMaster(await newAuthority())],
      /sent no certificate authority|not signed/,
    ],
    ["is a worker of the installation", async () => [await newAgent(authority)], /but no master/],
  ];

  it.each(others)("learns nothing of a server that %s", async (_, make, why) => {
    const [own, caPem] = await make();
    const { seen, address } = await serve(own, caPem);
    await expect(join(tokenFor(address))).rejects.toMatchObject({ reason: "CA_MISMATCH", message: expect.stringMatching(why) });
    expect(seen).toMatchObject({ connections: 1, secrets: [] });
  });

  it("carries nothing when this machine's clock and the master's certificate do not fit", async () => {
    for (const [validity, why] of [
      [longAgo, "has expired"],
      [{ now: new Date(Date.now() + hour) }, "is not yet valid"],
    ] as const) {
      const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "x" });
      const { certPem } = await authority.issueMaster({ csrPem, names: [], ttlMs: hour, ...validity });
      const { seen, address } = await serve({ keyPem, certPem });
      await expect(join(tokenFor(address))).rejects.toMatchObject({
        reason: "CLOCK_SKEW",
        message: expect.stringContaining(why),
      });
      expect(seen.secrets).toEqual([]);
    }
  });

  it("carries the master's refusal back", async () => {
    const refusal = new AppError("TOKEN_USED", "used already");
    const { address } = await serve(await newMaster(authority), authority.certPem, refusal);
    await expect(join(tokenFor(address))).rejects.toThrow("used already");
  });

  it("is opened again while the master has too much to do, and the machine says so", async () => {
    const busy = new AppError("OVERLOADED", "too many at once", { retryAfterMs: 1_000 });
    const { seen, address } = await serve(await newMaster(authority), authority.certPem, busy, 1);
    let cut = 1;
    const hangingUp = net.createServer((socket) => {
      cut -= 1;
      if (cut >= 0) return void socket.destroy();
      const behind = net.connect(Number(address.split(":")[1]), "127.0.0.1");
      socket.pipe(behind).pipe(socket);
      for (const each of [socket, behind]) each.on("error", () => undefined);
    });
    await once(hangingUp.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => hangingUp.close());
    const told: string[] = [];
    const token = tokenFor(`127.0.0.1:${(hangingUp.address() as net.AddressInfo).port}`);
    await expect(join(token, { patienceMs: 20_000, onProgress: (what) => told.push(what) })).resolves.toMatchObject({
      hostName: "edge",
    });
    expect(told.filter((what) => /too much to do; again in/.test(what))).toHaveLength(2);
    expect(seen.connections).toBe(2);
  });

  it("is opened again when the response was lost, for the same key: the token is good for no other", async () => {
    const { seen, address } = await serve(await newMaster(authority), authority.certPem, undefined, 0, 1);
    const told: string[] = [];
    const onProgress = (what: string) => void told.push(what);
    await expect(join(tokenFor(address), { patienceMs: 20_000, onProgress })).resolves.toMatchObject({ hostName: "edge" });
    expect(told.filter((what) => /response was lost; again in/.test(what))).toHaveLength(1);
    expect([seen.connections, seen.secrets.length, seen.keys.size]).toEqual([2, 2, 1]);
    const lost = await serve(await newMaster(authority), authority.certPem, undefined, 0, 1);
    await expect(join(tokenFor(lost.address))).rejects.toMatchObject({ reason: "MASTER_UNREACHABLE" });
  });

  it("that leads nowhere is said to do so", async () => {
    const mute = tls.createServer({ ...(await keyAndCert()) }, (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.destroy());
    });
    await once(mute.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => mute.close());
    const mutePort = (mute.address() as net.AddressInfo).port;
    const closing = net.createServer((socket) => socket.destroy());
    await once(closing.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => closing.close());
    const closingPort = (closing.address() as net.AddressInfo).port;
    for (const port of [1, mutePort, closingPort])
      await expect(join(tokenFor(`127.0.0.1:${port}`))).rejects.toMatchObject({ reason: "MASTER_UNREACHABLE" });
  });

  /** A master of this installation that hangs up on the first byte. */
  async function keyAndCert(): Promise<tls.TlsOptions> {
    const { keyPem, certPem } = await newMaster(authority);
    return { key: keyPem, cert: certPem + authority.certPem, ALPNProtocols: ["h2"] };
  }
});
