import { createHmac } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { KeyAndCertificate } from "./certificates.ts";

export interface Received {
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  readonly body: { readonly type: string; readonly id: string; readonly cursor: string; readonly data: Record<string, unknown> };
}

/** A receiver of webhooks, which has nothing of ours in it. */
export interface WebhookReceiver {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
  /** How it answers, from now on. */
  answer(how: (response: http.ServerResponse, received: Received) => void): void;
  close(): Promise<void>;
}

/** With a certificate it is spoken to by https. */
export async function startWebhookReceiver(address = "127.0.0.1", tls?: KeyAndCertificate): Promise<WebhookReceiver> {
  const received: Received[] = [];
  let answer: Parameters<WebhookReceiver["answer"]>[0] = (response) => void response.writeHead(204).end();
  const take: http.RequestListener = (request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      const one = { headers: request.headers, text, body: JSON.parse(text) as Received["body"] };
      received.push(one);
      answer(response, one);
    });
  };
  const server = tls === undefined ? http.createServer(take) : https.createServer({ key: tls.keyPem, cert: tls.certPem }, take);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://${address}:${port}/in`,
    port,
    received,
    answer: (how) => {
      answer = how;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** As the libraries of https://www.standardwebhooks.com do it. */
export function isSignedWith(secret: string, { headers, text }: Received): boolean {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const signed = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${text}`;
  const age = Math.abs(Date.now() / 1_000 - Number(headers["webhook-timestamp"]));
  return age < 300 && headers["webhook-signature"] === `v1,${createHmac("sha256", key).update(signed).digest("base64")}`;
}
