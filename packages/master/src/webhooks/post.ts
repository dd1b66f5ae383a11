import http from "node:http";
import https from "node:https";
import { isCertificateRefused } from "@decnet/common/rpc/certificate-errors";
import { cleanLine } from "@decnet/common/runtime/foreign-text";
import type { Delivery, FailedDelivery } from "../model/webhook.ts";
import type { AddressRules } from "./address-rules.ts";

/** One connection to one receiver at a time. */
export interface Poster {
  /** Sends one request, and says what came of it. Never throws. */
  post(url: string, body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Delivery>;
  close(): void;
}

const timeoutMs = 10_000;
/** Of an answer only its status counts; more than so much of it is not waited for. */
const mostRead = 64 << 10;
const mostHeaders = 16 << 10;
const mostRedirects = 3;
const longestMessage = 300;

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
}

export function createPoster(rules: AddressRules, patienceMs = timeoutMs): Poster {
  // The rules are asked at each connection: a name that is somewhere else by now is looked at again.
  const settings = { keepAlive: true, maxSockets: 1, maxFreeSockets: 1, lookup: rules.lookup };
  const agents = { "http:": new http.Agent(settings), "https:": new https.Agent(settings) };

  const send = (url: URL, body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) =>
    new Promise<Answer>((resolve, reject) => {
      const { request } = url.protocol === "https:" ? https : http;
      const agent = url.protocol === "https:" ? agents["https:"] : agents["http:"];
      const length = String(Buffer.byteLength(body));
      const sent = request(
        url,
        {
          ...{ method: "POST", agent, signal, maxHeaderSize: mostHeaders, lookup: rules.lookup },
          headers: { ...headers, "content-type": "application/json", "content-length": length },
        },
        (response) => {
          let read = 0;
          response.on("data", (chunk: Buffer) => {
            read += chunk.length;
            if (read > mostRead) response.destroy();
          });
          const done = () => resolve({ status: response.statusCode ?? 0, location: response.headers.location });
          response.on("close", done).on("error", () => undefined);
        },
      );
      sent.on("error", (error: NodeJS.ErrnoException) => {
        // It closed the connection that was kept just when we used it: nothing was wrong with either.
        if (sent.reusedSocket && error.code === "ECONNRESET") resolve(send(url, body, headers, signal));
        else reject(error);
      });
      sent.end(body);
    });

  const follow = async (start: string, body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => {
    let url = new URL(start);
    for (let redirects = 0; ; redirects += 1) {
      const refusal = rules.refuse(url);
      if (refusal !== undefined)
        return failed(0, redirects === 0 ? refusal : `it redirects to where no request goes: ${refusal}`);
      const { status, location } = await send(url, body, headers, signal);
      if (status >= 200 && status < 300) return { kind: "delivered", status } as const;
      // Other redirects ask for another kind of request.
      if ((status !== 307 && status !== 308) || location === undefined) return failed(status, `it answered ${status}`);
      if (redirects === mostRedirects) return failed(status, `it redirects more than ${mostRedirects} times`);
      if (!URL.canParse(location, url.href)) return failed(status, "it redirects to what is no URL");
      url = new URL(location, url);
    }
  };

  return {
    async post(url, body, headers, signal) {
      const limit = AbortSignal.timeout(patienceMs);
      try {
        return await follow(url, body, headers, AbortSignal.any([limit, signal]));
      } catch (error) {
        return failed(0, limit.aborted ? `it did not answer within ${patienceMs / 1_000} s` : wordsOf(error));
      }
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

function failed(status: number, message: string): FailedDelivery {
  return { kind: "failed", status, message: cleanLine(message, longestMessage), isFinal: status === 410 };
}

/** Of the certificates that are refused, those that come from an authority which nobody named. */
const unknownAuthority = /^(SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_(GET_ISSUER|VERIFY)_)/;

function wordsOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join("; ");
  if (error instanceof Error && isCertificateRefused(error)) {
    const isUnknown = "code" in error && unknownAuthority.test(String(error.code));
    const next = isUnknown ? "; name its authority to the master: NODE_EXTRA_CA_CERTS=FILE" : "";
    return `its certificate is not accepted: ${error.message}${next}`;
  }
  return error instanceof Error ? error.message : String(error);
}
