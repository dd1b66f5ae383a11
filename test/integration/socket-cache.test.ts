import { once } from "node:events";
import { createInterface } from "node:readline";
import { createHolderSearch } from "@decnet/engine/observe/port-holders";
import { createSocketCache } from "@decnet/engine/observe/socket-cache";
import { execa } from "execa";
import { expect, it } from "vitest";

/** Listens on one more port for each line that it reads, and says which. */
const opener = `process.stdin.on("data", () => {
  const server = require("net").createServer().listen(0, "0.0.0.0", () => console.log(server.address().port));
})`;

it("a port that opens is seen, however long the sockets may be kept", async () => {
  // In a network namespace of its own, where nobody else closes a socket in the same moment.
  const program = execa("unshare", ["--net", process.execPath, "-e", opener], { reject: false, timeout: 60_000 });
  const said = createInterface({ input: program.stdout });
  const open = async () => {
    program.stdin.write("\n");
    const [port] = (await once(said, "line")) as [string];
    return `${port}/tcp`;
  };
  const cache = createSocketCache(new Set());
  const place = { pid: program.pid ?? 0, containers: [] };
  const listening = async () => [...((await cache.observe(place, 3_600_000, createHolderSearch()))?.listening ?? [])].sort();
  try {
    const first = await open();
    expect(await listening()).toEqual([first]);
    const second = await open();
    expect(await listening()).toEqual([first, second].sort());
  } finally {
    program.kill("SIGKILL");
    await program;
  }
});
