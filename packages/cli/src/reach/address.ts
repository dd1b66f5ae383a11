import { isLoopback } from "@decnet/common/rpc/loopback";
import type { ChosenContext } from "../contexts/contexts.ts";
import { UsageError } from "../usage-error.ts";
import { Unreachable } from "./unreachable.ts";

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
  if (url.pathname !== "/" || url.search + url.hash + url.username + url.password !== "")
    return `${JSON.stringify(text)} holds more than a host and a port: ${example}`;
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const isTls = url.protocol === "https:";
  const port = url.port === "" ? (isTls ? 443 : 80) : Number(url.port);
  return { url: `${url.protocol}//${url.host}`, host, port, isTls, isLoopback: isLoopback(host) };
}

/** Throws when there is no such address, or a token would go there in clear. */
export function addressOf(context: Pick<ChosenContext, "address" | "insecure">): Address {
  const address = parseAddress(context.address);
  if (typeof address === "string") throw new Unreachable(address, ["decnet context list"]);
  refuseInClear(address, context.insecure);
  return address;
}

/** Throws when a token would go there in clear, and nobody said that it may. */
export function refuseInClear(address: Address, mayBeInsecure: boolean): void {
  if (!address.isTls && !address.isLoopback && !mayBeInsecure)
    throw new UsageError(
      `${address.url} is another machine, and http:// would send your token there in clear; nothing was sent\n` +
        ` next:  Use the master's TLS port: decnet context add NAME --address https://${address.host}:7443 --token-file FILE\n` +
        ` next:  If the way there is safe by other means: --insecure`,
    );
}
