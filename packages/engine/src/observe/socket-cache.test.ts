import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { ageLimit, createSocketCache, tallyOf } from "./socket-cache.ts";

/** Listens on one more port for each line that it reads, and says which. */
const opener = `process.stdin.on("data", () => {
  const server = require("net").createServer().listen(0, "0.0.0.0", () => console.log(server.address().port));
})`;

it("sees a port that opens, however long it may keep what it knows", async () => {
  // In a network namespace of its own, where nobody else closes a socket in the same moment.
  const program = spawn("unshare", ["--net", process.execPath, "-e", opener], { stdio: ["pipe", "pipe", "inherit"] });
  const said = createInterface({ input: program.stdout });
  const open = async () => {
    program.stdin.write("\n");
    const [port] = (await once(said, "line")) as [string];
    return `${port}/tcp`;
  };
  try {
    const cache = createSocketCache();
    const first = await open();
    expect([...(await cache.observe(program.pid ?? 0, 3_600_000)).listening]).toEqual([first]);
    const second = await open();
    expect([...(await cache.observe(program.pid ?? 0, 3_600_000)).listening].sort()).toEqual([first, second].sort());
  } finally {
    program.kill("SIGKILL");
  }
});

it("knows nothing of a process that has ended", async () => {
  expect((await createSocketCache().observe(2 ** 30, 3_600_000)).listening.size).toBe(0);
});

it("counts sockets that are in use, and not what changes all the time", () => {
  const v4 = "sockets: used 26\nTCP: inuse 3 orphan 0 tw 7 alloc 9 mem 300\nUDP: inuse 1 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n";
  expect(tallyOf(v4, "TCP6: inuse 2\nUDP6: inuse 0\n")).toBe("TCP: inuse 3, UDP: inuse 1, TCP6: inuse 2, UDP6: inuse 0");
  expect(tallyOf(undefined, undefined)).toBe("");
});

it("keeps readings longer where there are many: no more than a tenth of the time goes into them", () => {
  expect(ageLimit(6_000, 20, 8)).toBe(6_000);
  expect(ageLimit(6_000, 500, 8)).toBe(40_000);
});
