import type http from "node:http";
import type { PlainCaller } from "@decnet/common/rpc/server";
import { connectionsOfToken, secretOf } from "./access/authenticate.ts";
import { mayCall } from "./access/roles.ts";
import type { Metrics } from "./metrics.ts";
import type { Readiness } from "./readiness.ts";
import type { TokenStore } from "./store/tokens.ts";

export interface PlainHttpOptions {
  readonly metrics: Pick<Metrics, "text">;
  readonly readiness: Pick<Readiness, "now">;
  readonly tokens: Pick<TokenStore, "authenticate">;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const nothing: Answer = {
  status: 404,
  type: "text/plain",
  body: "nothing here; RPCs are POST /decnet.v1.<Service>/<Method>, see also /healthz /readyz /metrics\n",
};
const noToken: Answer = { status: 401, type: "text/plain", body: "the figures need a bearer token; any role will do\n" };

/**
 * Health and metrics for plain HTTP. Live: the process answers. Ready: calls can be served. Figures about this machine are
 * for its own loopback, and on the TLS port, which faces other machines, for whoever has a token.
 */
export function createPlainHttp({ metrics, readiness, tokens }: PlainHttpOptions) {
  /** Looked up each time, as for calls. */
  const mayRead = async (header: string | undefined, caller: PlainCaller): Promise<boolean> => {
    const secret = secretOf(header);
    const known = secret === undefined ? undefined : await tokens.authenticate(secret);
    if (known === undefined || !mayCall(known.role, "viewer")) {
      if (secret !== undefined) caller.wasRefused();
      return false;
    }
    caller.prove(`token ${known.tokenId}`, connectionsOfToken);
    return true;
  };
  const answer = async (request: http.IncomingMessage, caller: PlainCaller): Promise<Answer> => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    if (path === "/healthz") return { status: 200, type: "text/plain", body: "live\n" };
    if (path === "/metrics") {
      if ("encrypted" in request.socket && !(await mayRead(request.headers.authorization, caller))) return noToken;
      return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: await metrics.text() };
    }
    if (path === "/readyz") {
      const { isReady, parts } = await readiness.now();
      return { status: isReady ? 200 : 503, type: "application/json", body: `${JSON.stringify(parts)}\n` };
    }
    return nothing;
  };
  return (request: http.IncomingMessage, response: http.ServerResponse, caller: PlainCaller): void => {
    void answer(request, caller)
      .catch((error: unknown) => ({
        status: 500,
        type: "text/plain",
        body: `${error instanceof Error ? error.name : "error"}\n`,
      }))
      .then(({ status, type, body }) => {
        const challenge = status === 401 ? { "www-authenticate": "Bearer" } : {};
        response.writeHead(status, { "content-type": type, ...challenge }).end(body);
      });
  };
}
