import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { writeIdentity } from "@decnet/agent/identity";
import { agentAlpn } from "@decnet/common/protocol-version";
import { createClientTransport } from "@decnet/common/rpc/client";
import { startRpcServer } from "@decnet/common/rpc/server";
import { openSocketSession } from "@decnet/common/rpc/socket-session";
import { runBounded } from "@decnet/common/runtime/run-bounded";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newAgent, newAuthority, newMaster } from "../support/certificates.ts";
import { brokenFrames, greeting, type Opening, oddAnswers, oddHeads, openings, request } from "../support/odd-openings.ts";
import { ownProgram } from "../support/programs.ts";
import { nextReply, open, patienceMs } from "../support/raw-socket.ts";
import { placeDatabase } from "../support/ready-database.ts";
import { type Daemon, startDaemon } from "../support/use-daemon.ts";
import { configFor, eventually, type Place, usePlace } from "../support/use-master.ts";

const together = 20;
const chunkSize = 50;
const megabyte = 1 << 20;

const engineOf = (place: Place): Record<string, string> => {
  const { dockerSocket, composePath } = configFor(place);
  return { DECNET_DOCKER_SOCKET: dockerSocket, ...(composePath === undefined ? {} : { DECNET_COMPOSE: composePath }) };
};

async function isServing(address: string): Promise<boolean> {
  const { transport, close } = createClientTransport({ address, token: "" });
  try {
    return (await createClient(Health, transport).check({}, { timeoutMs: 10_000 })).status === 1;
  } finally {
    close();
  }
}

function chunksOf<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / chunkSize) }, (_, at) =>
    items.slice(at * chunkSize, (at + 1) * chunkSize),
  );
}

describe("whatever arrives on a socket", () => {
  let place: Place;
  let master: Daemon;
  let agent: Daemon;
  let port: number;
  let tlsPort: number;
  let agentPort: number;

  beforeAll(async () => {
    place = await usePlace();
    const dataDir = join(place.dataDir, "master");
    await placeDatabase(dataDir);
    master = startDaemon("master", [], {
      ...engineOf(place),
      DECNET_DATA_DIR: dataDir,
      DECNET_PORT: "0",
      DECNET_TLS_HOST: "127.0.0.1",
      DECNET_TLS_PORT: "0",
    });
    const started = await master.said("master started");
    [port, tlsPort] = [Number(started["port"]), Number(started["tlsPort"])];
    const token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
    const { secret } = await createClient(SwarmService, transport).createJoinToken({ hostName: "edge" });
    close();
    agent = startDaemon("agent", ["join", secret, "--run"], {
      ...engineOf(place),
      DECNET_AGENT_DIR: join(place.dataDir, "agent"),
      DECNET_AGENT_PORT: "0",
    });
    agentPort = Number((await agent.said("agent started"))["port"]);
    await agent.said("connected to the master");
  });

  afterAll(async () => {
    await agent?.stop();
    await master?.stop();
    await place.dispose();
  });

  const dialTls = (protocol: Opening["protocol"]) =>
    tls.connect({ host: "127.0.0.1", port: tlsPort, rejectUnauthorized: false, ALPNProtocols: [protocol] });
  const edges: [string, () => number, (opening: Opening) => net.Socket][] = [
    ["the master's plaintext port", () => port, () => net.connect(port, "127.0.0.1")],
    ["the master's TLS port", () => tlsPort, ({ protocol }) => dialTls(protocol)],
    ["the master's TLS port, without TLS", () => tlsPort, () => net.connect(tlsPort, "127.0.0.1")],
    ["the agent's loopback port", () => agentPort, () => net.connect(agentPort, "127.0.0.1")],
  ];

  const bothServe = async () => {
    expect(await isServing(`http://127.0.0.1:${port}`)).toBe(true);
    expect(await isServing(`http://127.0.0.1:${agentPort}`)).toBe(true);
    expect([master.exitCode(), agent.exitCode()]).toEqual([undefined, undefined]);
  };

  const throwAll = async (dial: (opening: Opening) => net.Socket, onReply: (opening: Opening, reply: Buffer) => void) => {
    for (const chunk of chunksOf(openings)) {
      await runBounded(chunk, together, async (opening) =>
        onReply(opening, await open(dial(opening), opening.bytes, opening.ends)),
      );
      await bothServe();
    }
  };

  it("is drawn from hundreds of openings, no two alike", () => {
    expect(openings.filter(({ protocol }) => protocol === "http/1.1").length).toBeGreaterThan(150);
    expect(openings.filter(({ protocol }) => protocol === "h2").length).toBeGreaterThan(150);
    expect(new Set(openings.map(({ name }) => name)).size).toBe(openings.length);
  });

  it.each(edges)("ends nothing on %s", { timeout: 300_000 }, async (_, at, dial) => {
    expect(at()).toBeGreaterThan(0);
    const faults: string[] = [];
    await throwAll(dial, ({ name, protocol }, reply) => {
      const line = reply.toString("latin1").split("\r\n")[0] ?? "";
      if (protocol === "http/1.1" && /^HTTP\/1.1 5(?!01)/.test(line)) faults.push(`${name}: ${line}`);
    });
    expect(faults).toEqual([]);
  });

  it("is forgotten: memory is about as before", { timeout: 300_000 }, async () => {
    const dials = edges.filter((_, index) => index !== 2).map(([, , dial]) => dial);
    const before = [await master.memory(), await agent.memory()] as const;
    for (const dial of dials) await throwAll(dial, () => undefined);
    expect((await master.memory()) - before[0]).toBeLessThan(80 * megabyte);
    expect((await agent.memory()) - before[1]).toBeLessThan(80 * megabyte);
  });

  it("is no error that nobody caught, and no kilobyte of stacks in the log", () => {
    for (const daemon of [master, agent]) {
      expect(daemon.log.filter((line) => Number(line["level"]) >= 50)).toEqual([]);
      expect(daemon.noise.filter((line) => !line.startsWith("ok  "))).toEqual([]);
    }
  });

  it.each([
    ["no certificate of our authority", ["-newkey", "rsa:2048", "-subj", "/CN=x", "-days", "1"]],
    ["an empty subject", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/", "-days", "1"]],
    ["a key of another kind", ["-newkey", "ed25519", "-subj", "/CN=decnet", "-days", "1"]],
    ["names that are none", ["-newkey", "ed25519", "-subj", "/CN=a", "-addext", "subjectAltName=URI:decnet://[", "-days", "1"]],
  ])("may be a client with %s", async (_, args) => {
    const [keyFile, certFile] = [join(place.dataDir, "odd.key"), join(place.dataDir, "odd.pem")];
    await execa("openssl", ["req", "-x509", "-nodes", "-keyout", keyFile, "-out", certFile, ...args]);
    const [key, cert] = [await readFile(keyFile), await readFile(certFile)];
    for (const alpn of ["h2", "http/1.1", agentAlpn, "spdy/1"]) {
      const socket = tls.connect({
        host: "127.0.0.1",
        port: tlsPort,
        rejectUnauthorized: false,
        ALPNProtocols: [alpn],
        key,
        cert,
      });
      await open(socket, Buffer.from("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), false);
    }
    await bothServe();
  });
});

it("a master on ::1 serves its own command line", async () => {
  const place = await usePlace();
  await placeDatabase(place.dataDir);
  const master = startDaemon("master", [], {
    ...engineOf(place),
    DECNET_DATA_DIR: place.dataDir,
    DECNET_HOST: "::1",
    DECNET_PORT: "0",
  });
  try {
    const { port } = await master.said("master started");
    const { stdout } = await execa(process.execPath, [...ownProgram("cli"), "whoami"], {
      env: { DECNET_ADDRESS: `http://[::1]:${String(port)}`, DECNET_TOKEN_FILE: join(place.dataDir, "admin.token") },
    });
    expect(stdout).toContain("admin");
    expect(master.exitCode()).toBe(undefined);
  } finally {
    await master.stop();
    await place.dispose();
  }
});

describe("an agent that serves a master which was taken over", () => {
  it("goes on, whatever that one sends", { timeout: 240_000 }, async () => {
    const place = await usePlace();
    const [authority, served] = [await newAuthority(), [] as net.Socket[]];
    const rogue = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      routes(router) {
        router.service(RegistrationService, {
          register: () => ({ hostName: "edge" }),
          report: (message) => ({ acknowledged: message.items.at(-1)?.sequence ?? 0n }),
        });
        router.service(EnrollmentService, {});
      },
      interceptors: [],
      fallback: (_, response) => response.writeHead(404).end(),
      graceMs: 100,
      tls: {
        host: "127.0.0.1",
        port: 0,
        ...(await newMaster(authority)),
        caPem: authority.certPem,
        takeover: { alpn: agentAlpn, accept: (socket) => void served.push(socket.on("error", () => undefined)) },
      },
    });
    const { keyPem, certPem } = await newAgent(authority);
    const stateDir = join(place.dataDir, "agent");
    await mkdir(stateDir);
    await writeIdentity(stateDir, {
      hostId: "h-1",
      hostName: "edge",
      installation: "lab",
      masters: [`127.0.0.1:${rogue.tlsPort}`],
      certificate: certPem,
      caCertificate: authority.certPem,
      keyPem,
    });
    const agent = startDaemon("agent", ["run"], { ...engineOf(place), DECNET_AGENT_DIR: stateDir, DECNET_AGENT_PORT: "0" });
    try {
      const address = `http://127.0.0.1:${String((await agent.said("agent started"))["port"])}`;
      const next = () => eventually(async () => served.shift(), 30_000);
      let socket = await next();
      let stream = 1;
      let replies = 0;
      for (const [, fields] of oddHeads) {
        if (socket.destroyed) socket = await next();
        if (socket.bytesWritten === 0) {
          stream = 1;
          socket.write(greeting);
        }
        const reply = nextReply(socket);
        socket.write(request(fields, stream));
        replies += (await reply) ? 1 : 0;
        stream += 2;
      }
      expect(replies).toBeGreaterThan(oddHeads.length * 0.8);
      for (const [, bytes] of brokenFrames.slice(0, 5)) {
        socket.destroy();
        socket = await next();
        await open(socket, Buffer.concat([greeting, bytes]), false);
        expect(await isServing(address)).toBe(true);
      }
      expect(agent.exitCode()).toBe(undefined);
      expect(agent.noise).toEqual([]);
    } finally {
      await agent.stop();
      await rogue.close();
      await place.dispose();
    }
  });
});

describe("a master that calls a worker which was taken over", () => {
  it.each(oddAnswers)("ends the call, and no more, for %s", async (_, bytes) => {
    const listener = net.createServer((socket) => socket.on("error", () => undefined).write(bytes));
    await once(listener.listen(0, "127.0.0.1"), "listening");
    const socket = net.connect((listener.address() as net.AddressInfo).port, "127.0.0.1");
    await once(
      socket.on("error", () => undefined),
      "connect",
    );
    const session = openSocketSession(socket, "http://agent");
    try {
      const transport = createGrpcTransport({ baseUrl: "http://agent", sessionManager: session.manager });
      const call = createClient(Health, transport).check({}, { timeoutMs: patienceMs });
      await expect(call).rejects.toBeInstanceOf(ConnectError);
    } finally {
      session.close();
      listener.close();
    }
  });
});
