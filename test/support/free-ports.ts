import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** So many ports that nobody listens on at this moment, all different. */
export async function freePorts(count: number, address = "127.0.0.1"): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, address), "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function freePort(address?: string): Promise<number> {
  const [port = 0] = await freePorts(1, address);
  return port;
}
