import { once } from "node:events";
import net from "node:net";
import { expect, test } from "vitest";
import { serveMaster } from "./serve-master.ts";

test("a connection that is begun when the agent is stopping already ends at once", async () => {
  const silent = net.createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as net.AddressInfo;
  const identity = {
    hostId: "id",
    hostName: "edge-1",
    installation: "ours",
    masters: [`127.0.0.1:${port}`],
    caCertificate: "",
    certificate: "",
    keyPem: "",
  };
  const options = {
    identity,
    address: `127.0.0.1:${port}`,
    routes: () => undefined,
    interceptors: [],
    onDefect: () => undefined,
    checkedMsAgo: () => undefined,
    onReportNow: () => undefined,
  };
  try {
    await expect(serveMaster({ ...options, signal: AbortSignal.abort() })).rejects.toThrow("the agent is stopping");
  } finally {
    silent.close();
  }
}, 5_000);
