import net from "node:net";

/** Whether only this machine itself reaches the address. A name but `localhost` may mean anything, also `127.example`. */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^::ffff:(?=\d+\.)/i, "");
  return host === "localhost" || host === "::1" || (net.isIPv4(address) && address.startsWith("127."));
}
