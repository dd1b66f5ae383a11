import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { ConnectError, createClient } from "@connectrpc/connect";
import { type CertificateAuthority, readCertificate } from "@decnet/common/pki/certificates";
import { createClientTransport } from "@decnet/common/rpc/client";
import type { ClientTls } from "@decnet/common/rpc/client-tls";
import { registerHealth } from "@decnet/common/rpc/health";
import { kPeer, type Peer, peerOf } from "@decnet/common/rpc/peer";
import { registerReflection } from "@decnet/common/rpc/reflection";
import { type RpcServer, startRpcServer } from "@decnet/common/rpc/server";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type KeyAndCertificate, longAgo, newAgent, newAuthority, newMaster } from "../support/certificates.ts";
import { eventually } from "../support/use-master.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const alpn = "decnet-test/1";

describe("the TLS port", () => {
  let folder: string;
  let authority: CertificateAuthority;
  let other: CertificateAuthority;
  let master: KeyAndCertificate;
  let agent: KeyAndCertificate;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-tls-"));
    [authority, other] = [await newAuthority(), await newAuthority()];
    master = await newMaster(authority);
    agent = await newAgent(authority);
    await writeFile(join(folder, "ca.pem"), authority.certPem);
    await writeFile(join(folder, "other-ca.pem"), other.certPem);
  });

  afterEach(async () => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** A server with the health service on both ports, which notes every call's peer and holds calls while told so. */
  async function serve(options: { graceMs?: number; host?: string } = {}) {
    const peers: Peer[] = [];
    const taken: tls.TLSSocket[] = [];
    const stopping = new AbortController();
    const held = { until: Promise.resolve<unknown>(undefined), calls: 0 };
    const server = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      routes: (router) => {
        registerHealth(router, [], () => true, stopping.signal);
        registerReflection(router, [Health]);
      },
      interceptors: [
        (next) => async (request) => {
          peers.push(request.contextValues.get(kPeer));
          held.calls += 1;
          await held.until;
          return next(request);
        },
      ],
      fallback: (_request, response) => response.writeHead(404).end(),
      graceMs: options.graceMs ?? 200,
      tls: {
        host: options.host ?? "127.0.0.1",
        port: 0,
        ...master,
        caPem: authority.certPem,
        takeover: { alpn, accept: (socket) => taken.push(socket) },
      },
    });
    cleanups.push(() => server.close());
    cleanups.push(() => stopping.abort());
    return { server, peers, taken, held };
  }

  const addressOf = (server: RpcServer) => `127.0.0.1:${server.tlsPort}`;

  function clientOf(server: RpcServer, settings: Partial<ClientTls> = {}) {
    const { transport, close } = createClientTransport({
      address: `https://${addressOf(server)}`,
      token: "",
      tls: { caPem: authority.certPem, ...settings },
    });
    cleanups.push(close);
    return createClient(Health, transport);
  }

  async function dial(server: RpcServer, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
    const socket = tls.connect({ port: server.tlsPort, host: "127.0.0.1", ca: authority.certPem, ...options });
    cleanups.push(() => socket.destroy());
    await once(socket, "secureConnect");
    return socket.on("error", () => socket.destroy());
  }

  const curl = (server: RpcServer, ...args: string[]) =>
    execa(
      "curl",
      ["-s", "-m", "10", "--cacert", join(folder, "ca.pem"), "-H", "content-type: application/json", "-d", "{}"].concat(args, [
        "-w",
        " %{http_version}",
        `https://${addressOf(server)}/grpc.health.v1.Health/Check`,
      ]),
      { reject: false },
    );

  it("answers curl over HTTP/1.1 and HTTP/2, and grpcurl, which check its certificate", async () => {
    const { server, peers } = await serve();
    expect((await curl(server, "--http1.1")).stdout).toBe('{"status":"SERVING"} 1.1');
    expect((await curl(server, "--http2")).stdout).toBe('{"status":"SERVING"} 2');
    expect((await curl(server, "--no-alpn")).stdout).toBe('{"status":"SERVING"} 1.1');
    const wrong = await curl(server, "--cacert", join(folder, "other-ca.pem"));
    expect(wrong.exitCode).toBe(60);
    const grpcurl = await execa(
      "grpcurl",
      ["-cacert", join(folder, "ca.pem"), addressOf(server), "grpc.health.v1.Health/Check"],
      { env: { PATH: `${root}build/tools:${process.env["PATH"]}` } },
    );
    expect(grpcurl.stdout).toContain("SERVING");
    const nobody = { transport: "tls", address: "127.0.0.1", certificate: undefined, certificateProblem: undefined };
    expect(peers.length).toBeGreaterThanOrEqual(4);
    for (const peer of peers) expect(peer).toEqual(nobody);
  });

  it("tells calls who the peer is, over both versions of HTTP", async () => {
    const { server, peers } = await serve();
    await writeFile(join(folder, "agent.pem"), agent.certPem + agent.keyPem);
    for (const version of ["--http1.1", "--http2"]) await curl(server, version, "--cert", join(folder, "agent.pem"));
    const client = clientOf(server, agent);
    for (let call = 0; call < 3; call += 1) await client.check({});
    const facts = readCertificate(agent.certPem);
    expect(facts.identity).toEqual({ role: "agent", hostId: "h-1", installation: "lab", number: 0 });
    expect(peers).toHaveLength(5);
    for (const peer of peers)
      expect(peer).toEqual({ transport: "tls", address: "127.0.0.1", certificate: facts, certificateProblem: undefined });
  });

  it("answers holders of certificates that do not count, and says why they do not", async () => {
    const { server, peers } = await serve();
    for (const [refused, problem] of [
      [await newAgent(other), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
      [await newAgent(authority, "h-1", longAgo), "CERT_HAS_EXPIRED"],
      [master, "INVALID_PURPOSE"],
      [await newAgent(other, "h-1", longAgo), /UNABLE_TO_VERIFY|EXPIRED/],
      [await newAgent(authority, "h-1", { now: new Date(Date.now() + 3_600_000) }), "CERT_NOT_YET_VALID"],
    ] as const) {
      expect((await clientOf(server, refused).check({})).status).toBe(1);
      const peer = peers.at(-1);
      expect(peer?.certificate).toBeUndefined();
      expect(peer?.certificateProblem).toMatch(problem);
    }
  });

  it("notices that a certificate expires while its connection lives", async () => {
    const { server, peers } = await serve();
    const client = clientOf(server, await newAgent(authority, "h-1", { ttlMs: 2_500 }));
    await client.check({});
    expect(peers.at(-1)?.certificate?.identity).toMatchObject({ hostId: "h-1" });
    await eventually(async () => {
      await client.check({});
      return peers.at(-1)?.certificate === undefined;
    });
    expect(peers.at(-1)?.certificateProblem).toBe("CERT_HAS_EXPIRED");
  });

  it("is not believed by our client when chain, name or identity are not the expected ones", async () => {
    const { server, peers } = await serve();
    const failure = (settings: Partial<ClientTls>) =>
      clientOf(server, settings)
        .check({})
        .then(() => "answered", String);
    expect(await failure({ caPem: other.certPem })).toMatch(/certificate/);
    expect(await failure({ servername: "elsewhere.example" })).toContain("elsewhere.example");
    const seen: unknown[] = [];
    const checkIdentity: ClientTls["checkIdentity"] = (facts) => {
      seen.push(facts.identity);
      return new Error("not the master that was expected");
    };
    expect(await failure({ checkIdentity })).toContain("not the master that was expected");
    expect(seen).toEqual([{ role: "master", installation: "lab" }]);
    expect(peers).toEqual([]);
    expect(await failure({ servername: "master.example", checkIdentity: () => undefined })).toBe("answered");
    expect(() => createClientTransport({ address: "http://127.0.0.1:1", token: "", tls: { caPem: "" } })).toThrow(
      "not an https address",
    );
  });

  it("sends its authority along, speaks TLS 1.3 and resumes no session", async () => {
    const { server } = await serve();
    const socket = await dial(server, { ALPNProtocols: ["http/1.1"] });
    expect(socket.getProtocol()).toBe("TLSv1.3");
    const issuer = socket.getPeerCertificate(true).issuerCertificate;
    expect(readCertificate(issuer.raw).fingerprint).toBe(authority.hash);
    const sessions: Buffer[] = [];
    socket.on("session", (session: Buffer) => sessions.push(session));
    socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    await once(socket.resume(), "close");
    const session = sessions.at(-1) ?? socket.getSession();
    const again = await dial(server, session === undefined ? {} : { session });
    expect(again.isSessionReused()).toBe(false);
  });

  it("hands over the sockets that ask for another protocol, after the handshake", async () => {
    const { server, taken, peers } = await serve();
    const mine = await dial(server, { key: agent.keyPem, cert: agent.certPem, ALPNProtocols: [alpn] });
    expect(mine.alpnProtocol).toBe(alpn);
    const [theirs] = await eventually(async () => taken.length > 0 && taken);
    expect(peerOf(theirs!).certificate?.identity).toMatchObject({ hostId: "h-1" });
    theirs!.write("first word from the server");
    expect(String((await once(mine, "data"))[0])).toBe("first word from the server");
    mine.write("answer");
    expect(String((await once(theirs!, "data"))[0])).toBe("answer");
    const stranger = await dial(server, { ALPNProtocols: [alpn] });
    await eventually(async () => taken.length === 2);
    expect(peerOf(taken[1]!)).toMatchObject({ transport: "tls", certificate: undefined, certificateProblem: undefined });
    stranger.destroy();
    expect(peers).toEqual([]);
    await expect(dial(server, { ALPNProtocols: ["unknown/1"] })).rejects.toThrow(/alert|ALPN|protocol/i);
  });

  it("cuts at once whom it is told to, and nobody else", async () => {
    const { server, taken } = await serve();
    const [revoked, kept] = [agent, await newAgent(authority, "h-2")];
    const link = await dial(server, { key: revoked.keyPem, cert: revoked.certPem, ALPNProtocols: [alpn] });
    const keptLink = await dial(server, { key: kept.keyPem, cert: kept.certPem, ALPNProtocols: [alpn] });
    await eventually(async () => taken.length === 2);
    const [stream, keptStream] = [clientOf(server, revoked), clientOf(server, kept)].map((client) =>
      client.watch({})[Symbol.asyncIterator](),
    );
    for (const each of [stream, keptStream]) expect((await each!.next()).value).toMatchObject({ status: 1 });
    const cut = [once(link, "close"), expect(stream!.next()).rejects.toBeInstanceOf(ConnectError)];
    const isRevoked = ({ certificate }: Peer) => certificate?.identity?.role === "agent" && certificate.identity.hostId === "h-1";
    expect(server.disconnect(isRevoked)).toBe(2);
    await Promise.all(cut);
    expect(server.disconnect(isRevoked)).toBe(0);
    expect(keptLink.destroyed).toBe(false);
    keptLink.write("still here");
    const keptTaken = taken.find((socket) => !socket.destroyed);
    expect(String((await once(keptTaken!, "data"))[0])).toBe("still here");
  });

  it("presents a renewed certificate to whom comes after, and keeps the connections that are open", async () => {
    const { server, peers } = await serve();
    const seen: string[] = [];
    const settings = {
      ...agent,
      checkIdentity: (facts: { fingerprint: string }) => {
        seen.push(facts.fingerprint);
        return undefined;
      },
    };
    const before = clientOf(server, settings);
    await before.check({});
    const renewed = await newMaster(authority);
    expect(() => server.renewTls({ keyPem: master.keyPem, certPem: renewed.certPem })).toThrow();
    expect(() => server.renewTls({ keyPem: "x", certPem: "y" })).toThrow();
    await clientOf(server, settings).check({});
    server.renewTls(renewed);
    await before.check({});
    await clientOf(server, settings).check({});
    const [old, fresh] = [master, renewed].map(({ certPem }) => readCertificate(certPem).fingerprint);
    expect(seen).toEqual([old, old, fresh]);
    for (const peer of peers) expect(peer.certificate?.identity).toMatchObject({ hostId: "h-1" });
  });

  it("lets calls finish when it closes, over both versions of HTTP, and then waits for nobody", async () => {
    const { server, taken, held } = await serve({ graceMs: 60_000 });
    await dial(server, { ALPNProtocols: [alpn] });
    await dial(server, { ALPNProtocols: ["http/1.1"] });
    await eventually(async () => taken.length === 1);
    const hold = new AbortController();
    held.until = once(hold.signal, "abort");
    const calls = [clientOf(server, agent).check({}), curl(server, "--http1.1"), curl(server, "--http2")];
    await eventually(async () => held.calls === 3);
    const closed = server.close();
    await expect(dial(server)).rejects.toThrow("ECONNREFUSED");
    hold.abort();
    const [own, h1, h2] = await Promise.all(calls);
    expect(own).toMatchObject({ status: 1 });
    expect([h1, h2].map((result) => result && "stdout" in result && result.stdout)).toEqual([
      '{"status":"SERVING"} 1.1',
      '{"status":"SERVING"} 2',
    ]);
    taken[0]?.destroy();
    await closed;
  }, 30_000);

  it("closes in bounded time with streams, sockets that were handed over, and half a handshake", async () => {
    const { server, taken } = await serve({ graceMs: 100 });
    const link = await dial(server, { ALPNProtocols: [alpn] });
    await eventually(async () => taken.length === 1);
    const half = net.connect(server.tlsPort ?? 0, "127.0.0.1");
    cleanups.push(() => half.destroy());
    await once(half, "connect");
    half.on("error", () => half.destroy()).write(Buffer.from([0x16, 3, 1]));
    const stream = clientOf(server, agent).watch({})[Symbol.asyncIterator]();
    await stream.next();
    const ended = stream.next().catch(() => undefined);
    await Promise.all([server.close(), ended, once(link, "close"), once(half, "close")]);
  });

  it("cuts in ten seconds who does not get on with handshake or headers, and survives noise", async () => {
    const { server } = await serve();
    const connect = async (port: number | undefined) => {
      const socket = net.connect(port ?? 0, "127.0.0.1");
      cleanups.push(() => socket.destroy());
      await once(
        socket.on("error", () => socket.destroy()),
        "connect",
      );
      return socket.resume();
    };
    const noisy = await connect(server.tlsPort);
    noisy.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(noisy, "close");
    const silent = await connect(server.tlsPort);
    const slow = await dial(server, { ALPNProtocols: ["http/1.1"] });
    slow.resume().write("GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
    const slowPlain = await connect(server.port);
    slowPlain.write("GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
    await Promise.all([silent, slow, slowPlain].map((socket) => once(socket, "close")));
    expect((await clientOf(server).check({})).status).toBe(1);
  }, 60_000);

  it("may be on any address, while plaintext stays on loopback", async () => {
    const { server, peers } = await serve({ host: "::" });
    expect((await clientOf(server).check({})).status).toBe(1);
    expect(peers.at(-1)).toMatchObject({ transport: "tls", address: "127.0.0.1" });
    const plain = createClientTransport({ address: `http://127.0.0.1:${server.port}`, token: "" });
    cleanups.push(plain.close);
    await createClient(Health, plain.transport).check({});
    expect(peers.at(-1)).toEqual({
      transport: "plaintext",
      address: "127.0.0.1",
      certificate: undefined,
      certificateProblem: undefined,
    });
    const options = { port: 0, routes: () => undefined, interceptors: [], fallback: () => undefined };
    for (const host of ["0.0.0.0", "::", "192.0.2.1"])
      await expect(startRpcServer({ ...options, host })).rejects.toThrow("without TLS");
  });

  it("leaves no port open when it cannot start", async () => {
    const { server } = await serve();
    const taken = server.tlsPort ?? 0;
    const free = net.createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const port = (free.address() as net.AddressInfo).port;
    await new Promise((resolve) => free.close(resolve));
    const options = { host: "127.0.0.1", port, routes: () => undefined, interceptors: [], fallback: () => undefined };
    const secure = { host: "127.0.0.1", port: taken, ...master, caPem: authority.certPem };
    await expect(startRpcServer({ ...options, tls: secure })).rejects.toMatchObject({
      reason: "ADDRESS_UNUSABLE",
      message: expect.stringMatching(`^cannot listen on 127.0.0.1:${taken}: .*EADDRINUSE`),
    });
    await expect(startRpcServer({ ...options, tls: { ...secure, port: 0, keyPem: "x" } })).rejects.toThrow();
    const started = await startRpcServer(options);
    expect(started.tlsPort).toBeUndefined();
    expect(() => started.renewTls(master)).toThrow("no TLS port");
    expect(started.disconnect(() => true)).toBe(0);
    await started.close();
  });
});
