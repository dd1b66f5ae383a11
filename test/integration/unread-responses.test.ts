import { chmod, mkdtemp, rm } from "node:fs/promises";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { placeDatabase } from "../support/ready-database.ts";
import { readMetric } from "../support/under-attack.ts";

const megabyte = 1 << 20;
const deckies = 250;
const bodySeconds = 2;

/** A caller asks for more than he ever reads: what is to be sent is a queue like any other. */
describe("responses that nobody reads", () => {
  let dataDir: string;
  let master: KillableMaster;
  let viewer: string;
  const sessions: http2.ClientHttp2Session[] = [];

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(dataDir, 0o711);
    await placeDatabase(dataDir);
    master = await startKillableMaster(dataDir, {
      DECNET_DRIFT_INTERVAL_MS: "600000",
      DECNET_BODY_SECONDS: String(bodySeconds),
    });
    viewer = (await master.clients.access.createToken({ name: "greedy", role: Role.VIEWER })).secret;
    const services = ["redis", "http", "ftp"].map((slug) => ({ slug }));
    await master.clients.fleet.applyFleet({
      fleet: { lan: { name: "lan", subnet: "10.77.0.0/20" }, deckies: [{ name: "d", count: deckies, services }] },
    });
  }, 120_000);
  afterAll(async () => {
    for (const session of sessions) session.destroy();
    await master?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const metric = (name: string) => readMetric({ port: master.port, tlsPort: 0 }, name);
  const post = (session: http2.ClientHttp2Session, method: string, body: string) => {
    const stream = session.request({
      ":method": "POST",
      ":path": `/decnet.v1.${method}`,
      "content-type": "application/json",
      authorization: `Bearer ${viewer}`,
    });
    stream.on("error", () => undefined).end(body);
    return stream;
  };
  /** Takes the head of a response and nothing of its body. */
  const greedy = async () => {
    const session = http2.connect(`http://127.0.0.1:${master.port}`, { settings: { initialWindowSize: 0 } });
    sessions.push(session.on("error", () => undefined));
    const first = post(session, "AccessService/WhoAmI", "{}");
    await new Promise((resolve) => first.once("response", resolve));
    first.close();
    const answers: Promise<number>[] = [];
    for (let count = 0; count < 90; count += 1) {
      const stream = post(session, "FleetService/ListDeckies", JSON.stringify({ pageSize: 1_000 }));
      const status = (head: http2.IncomingHttpHeaders) => Number(head[":status"]);
      answers.push(
        new Promise((resolve) => stream.once("response", (head) => resolve(status(head))).once("close", () => resolve(0))),
      );
    }
    return Promise.all(answers);
  };

  it("take a little memory, whoever asks for how many, and are refused beyond it", { timeout: 120_000 }, async () => {
    const before = await metric("nodejs_external_memory_bytes");
    const answered = (await Promise.all([greedy(), greedy()])).flat();
    expect(answered).toContain(200);
    expect(answered).toContain(429);
    expect(await metric("decnet_unread_bytes")).toBeLessThan(17 * megabyte);
    // Node.js has them a second time until they are sent, and what it has not collected yet; all of them would be far more.
    expect((await metric("nodejs_external_memory_bytes")) - before).toBeLessThan(50 * megabyte);
    // Others have their own.
    expect((await master.clients.fleet.listDeckies({ pageSize: 1_000 })).deckies.length).toBe(deckies);
  });

  it("are not kept for somebody who never comes for them", { timeout: 60_000 }, async () => {
    await eventually(async () => (await metric("decnet_unread_bytes")) < megabyte, 40_000);
  });
});
