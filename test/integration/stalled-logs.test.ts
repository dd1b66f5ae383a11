import { once } from "node:events";
import http2 from "node:http2";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a log stream whose reader stalls", () => {
  let master: TestMaster;
  let container: string;
  const sessions: http2.ClientHttp2Session[] = [];

  beforeAll(async () => {
    master = await useMaster();
    container = `${master.prefix}-a-http`;
    await deploy(master, { a: ["http"] });
  });
  afterAll(async () => {
    for (const session of sessions) session.destroy();
    await master.dispose();
  });

  const open = (): http2.ClientHttp2Stream => {
    // One that does not read holds up everything on its connection.
    const session = http2.connect(`http://127.0.0.1:${master.port}`);
    sessions.push(session);
    const stream = session.request({
      ":method": "POST",
      ":path": "/decnet.v1.FleetService/StreamLogs",
      "content-type": "application/connect+json",
      authorization: `Bearer ${master.token}`,
    });
    const body = Buffer.from(JSON.stringify({ decky: { name: `${master.prefix}-a` }, service: "http", follow: true, tail: 1 }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 1);
    stream.end(Buffer.concat([head, body]));
    return stream;
  };
  const rss = async () => {
    const text = await (await fetch(`http://127.0.0.1:${master.port}/metrics`)).text();
    return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]) / (1 << 20);
  };

  it("costs little memory, and its reader is told how many lines were dropped", { timeout: 90_000 }, async () => {
    const streams = Array.from({ length: 8 }, open);
    const begun = Promise.all(streams.map((stream) => once(stream, "response")));
    // Headers go out with the first line.
    const write = (text: string) => execa("docker", ["exec", container, "sh", "-c", `${text} > /proc/1/fd/1`]);
    await write("echo begin");
    await begun;
    const before = await rss();
    // Longer than anybody is waited for, and at most 20,000 lines.
    const text = `${"x".repeat(150)} `.repeat(100);
    const script = `end=$(($(date +%s)+5)); i=0; while [ $(date +%s) -lt $end ]; do
      if [ $i -lt 200 ]; then printf '%s\\n' ${text}; i=$((i+1)); else sleep 1; fi; done`;
    await write(`{ ${script}; echo the-end; }`);
    const grown = (await rss()) - before;
    // Eight times all of it would be 80 MB and more.
    expect(grown).toBeLessThan(60);

    const [first] = streams as [http2.ClientHttp2Stream];
    let read = "";
    first.setEncoding("utf8").on("data", (chunk: string) => (read += chunk));
    await eventually(async () => read.includes("the-end"), 40_000);
    expect(read).toMatch(/… \d+ lines dropped/);
    for (const stream of streams) stream.close();
  });
});
