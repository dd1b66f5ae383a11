import { randomUUID } from "node:crypto";
import { createLogger } from "@decnet/common/logging/logger";
import { openSender } from "@decnet/master/bus/kafka";
import { createRelay } from "@decnet/master/bus/relay";
import { parseMasterConfig } from "@decnet/master/config";
import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { createRelayStore } from "@decnet/master/store/relays";
import { ownCatalog } from "./catalogs.ts";

/**
 * Sends on what is told in a master's database, as a master does, and nothing else. Usage: lone-relay.ts DATA_FOLDER BROKERS
 * SINK, the last of which is the prefix of its topics as well. Prints how many events it has sent, whenever it sent some.
 */
const [dataDir = "", brokers = "", sink = ""] = process.argv.slice(2);
const env = { DECNET_DATA_DIR: dataDir, DECNET_KAFKA_BROKERS: brokers, DECNET_KAFKA_TOPIC_PREFIX: sink };
const { bus } = parseMasterConfig(env, ownCatalog);
if (bus === undefined) throw new Error("no brokers");
const log = createLogger("lone-relay", "warn");
const database = await openDatabase(await openPrivatePostgres(dataDir));
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
let sent = 0;
const relay = createRelay({
  store: createRelayStore(database),
  claim: { sink, holder: `process ${process.pid}`, instance: randomUUID(), place: `process ${process.pid}` },
  envelope: { source: "urn:uuid:test", format: bus.format, prefix: bus.prefix },
  open: () => openSender(bus, log),
  log,
  onSent(count) {
    sent += count;
    process.stdout.write(`${sent}\n`);
  },
});
await relay.run(stop.signal);
await database.close();
process.exit(0);
