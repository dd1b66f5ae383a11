import net from "node:net";
import { type NodeHandler, type NodeRequest, type NodeResponse, sendText } from "./node-calls.ts";

const hostPattern = /^(\[[\da-f:.]+\]|[\w.~-]+)(:\d{1,5})?$/i;
const ignore = () => undefined;

/**
 * The one door to the RPC adapter, for HTTP/1 and HTTP/2 alike. The adapter makes a URL of each request before any interceptor
 * runs and throws when it cannot, inside an event listener, which would end the process. What makes no URL gets 400; `onDefect`
 * hears of anything else that is thrown.
 */
export function admitRequests(handler: NodeHandler, onDefect: (error: unknown) => void): NodeHandler {
  return (request, response) => {
    // A peer that goes away in the middle is an event of the connection; nobody else listens to it here.
    request.on("error", ignore);
    response.on("error", ignore);
    try {
      const problem = admit(request);
      if (problem !== undefined) return refuse(request, response, 400, problem);
      handler(request, response);
    } catch (error) {
      onDefect(error);
      refuse(request, response, 500, "the request could not be handled");
    }
  };
}

/** Undefined when the request is fit for the adapter; it carries an authority that makes a URL then. */
function admit(request: NodeRequest): string | undefined {
  const hosts = request.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === "host").length;
  if (hosts > 1) return "more than one Host";
  const { headers } = request;
  const pseudo = headers[":authority"] as string | undefined;
  const named = pseudo ?? headers.host ?? implied(request);
  if (named === undefined) return "no Host";
  if (pseudo !== undefined && headers.host !== undefined && headers.host !== pseudo) return "Host differs from :authority";
  const authority = withBrackets(named);
  if (!hostPattern.test(authority)) return "the Host is not a host with an optional port";
  const path = request.url ?? "";
  if (!path.startsWith("/")) return "the request's target is not a path";
  if (!URL.canParse(path, `http://${authority}`)) return "the Host and the path make no URL";
  if (request.httpVersionMajor === 2) headers[":authority"] = authority;
  else headers.host = authority;
  return undefined;
}

/** Probes of load balancers come with HTTP/1.0 and name no host. */
function implied({ httpVersion, method }: NodeRequest): string | undefined {
  return httpVersion === "1.0" && (method === "GET" || method === "HEAD") ? "localhost" : undefined;
}

/** HTTP/2 clients of Node.js leave out the brackets of an IPv6 address: `::1:7440`. */
function withBrackets(authority: string): string {
  const end = authority.lastIndexOf(":");
  const [host, port] = [authority.slice(0, end), authority.slice(end + 1)];
  if (net.isIPv6(host) && /^\d+$/.test(port)) return `[${host}]:${port}`;
  return net.isIPv6(authority) ? `[${authority}]` : authority;
}

function refuse(request: NodeRequest, response: NodeResponse, status: number, why: string): void {
  if (response.headersSent) return void response.destroy();
  sendText(response, status, why, request.httpVersionMajor === 2 ? {} : { connection: "close" });
}
