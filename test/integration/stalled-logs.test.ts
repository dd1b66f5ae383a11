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

  it("costs little memory, and its reader is told how many lines were dropped", { timeout: 60_000 }, async () => {
    const streams = Array.from({ length: 8 }, open);
    await Promise.all(streams.map((stream) => once(stream, "response")));
    const before = await rss();
    const lines = 60_000;
    const text = "x".repeat(150);
    const script = `i=0; while [ $i -lt ${lines / 10} ]; do printf '%s\\n' ${`${text} `.repeat(10)}; i=$((i+1)); done > /proc/1/fd/1`;
    await execa("docker", ["exec", container, "sh", "-c", `${script}; echo the-end > /proc/1/fd/1`]);
    const grown = (await rss()) - before;
    // Eight times all of it would be 100 MB and more, as objects several times that.
    expect(grown).toBeLessThan(80);

    const [first] = streams as [http2.ClientHttp2Stream];
    let read = "";
    first.setEncoding("utf8").on("data", (chunk: string) => (read += chunk));
    await eventually(async () => read.includes("the-end"));
    expect(read).toMatch(/… \d+ lines dropped/);
    for (const stream of streams) stream.close();
  });
});
