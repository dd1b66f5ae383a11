import http2 from "node:http2";
import type tls from "node:tls";
import type { ServiceImpl } from "@connectrpc/connect";
import { agentAlpn } from "@decnet/common/protocol-version";
import { startRpcServer } from "@decnet/common/rpc/server";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { KeyAndCertificate } from "./certificates.ts";

/** A server that plays the master towards one agent, with whatever certificate it was given. */
export interface RogueMaster {
  /** host:port */
  readonly address: string;
  /** Calls that agents made. */
  readonly calls: string[];
  /** Whether an agent opened a connection to be served on. */
  isServed(): boolean;
  /** Calls AgentService over that connection and answers everything that comes back, errors too, as text. */
  ask(method: string, request: object): Promise<string>;
  close(): Promise<void>;
}

export async function startRogueMaster(
  host: string,
  { keyPem, certPem }: KeyAndCertificate,
  caPem: string,
): Promise<RogueMaster> {
  const calls: string[] = [];
  const sockets: tls.TLSSocket[] = [];
  let session: http2.ClientHttp2Session | undefined;
  const registration: ServiceImpl<typeof RegistrationService> = {
    register: () => ({ hostName: "edge" }),
    report: (request) => ({ acknowledged: request.items.at(-1)?.sequence ?? 0n }),
  };
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    routes: (router) => {
      router.service(RegistrationService, registration);
      router.service(EnrollmentService, {});
    },
    interceptors: [
      (next) => (request) => {
        calls.push(request.method.name);
        return next(request);
      },
    ],
    fallback: (_, response) => response.writeHead(404).end(),
    graceMs: 100,
    tls: {
      host,
      port: 0,
      keyPem,
      certPem,
      caPem,
      takeover: {
        alpn: agentAlpn,
        accept(socket) {
          sockets.push(socket);
          session = http2.connect("http://agent", { createConnection: () => socket });
          session.on("error", () => socket.destroy());
        },
      },
    },
  });
  return {
    address: `${host}:${server.tlsPort}`,
    calls,
    isServed: () => session !== undefined,
    async ask(method, request) {
      if (session === undefined) throw new Error("no agent is connected");
      const isStream = method === "ApplyDeckies" || method === "StreamLogs";
      const stream = session.request({
        ":method": "POST",
        ":path": `/decnet.v1.AgentService/${method}`,
        "content-type": isStream ? "application/connect+json" : "application/json",
        "connect-protocol-version": "1",
      });
      const body = Buffer.from(JSON.stringify(request));
      const head = Buffer.alloc(5);
      head.writeUInt32BE(body.length, 1);
      stream.end(isStream ? Buffer.concat([head, body]) : body);
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    },
    async close() {
      session?.destroy();
      for (const socket of sockets) socket.destroy();
      await server.close();
    },
  };
}
