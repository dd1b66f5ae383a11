import { isLoopback } from "@decnet/common/rpc/loopback";

/** Where a master is said to be. */
export interface Address {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Only this machine itself sees what is sent there. */
  readonly isLoopback: boolean;
}

/** `http://host:port` or `https://host:port`; a sentence about what is wrong with anything else. Pure. */
export function parseAddress(text: string): Address | string {
  const example = "it is like https://master.example:7443, or http://127.0.0.1:7440 on the master's own machine";
  if (!/^https?:\/\//i.test(text)) return `${JSON.stringify(text)} is no address of a master: ${example}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return `${JSON.stringify(text)} is no address of a master: ${example}`;
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "")
    return `${JSON.stringify(text)} holds more than a host and a port: ${example}`;
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const isTls = url.protocol === "https:";
  const port = url.port === "" ? (isTls ? 443 : 80) : Number(url.port);
  return { url: `${url.protocol}//${url.host}`, host, port, isTls, isLoopback: isLoopback(host) };
}
