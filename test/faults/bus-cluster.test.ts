import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@decnet/common/logging/logger";
import { busTopics } from "@decnet/contract/bus";
import { explain } from "@decnet/master/bus/explain";
import { openSender } from "@decnet/master/bus/kafka";
import { parseMasterConfig } from "@decnet/master/config";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BusChanges, createBusChanges } from "../support/bus-changes.ts";
import { ownCatalog } from "../support/catalogs.ts";
import { type Comparison, compareBus, readOutbox, untilSent } from "../support/compare-bus.ts";
import { eventually } from "../support/eventually.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

/** `npm run soak:bus` has more of each. */
const leaderKills = Number(process.env["DECNET_BUS_LEADER_KILLS"] ?? "1");
const changes = Number(process.env["DECNET_BUS_CLUSTER_CHANGES"] ?? "600");
const topic = "decnet.decky";
const patienceMs = 120_000;

interface Metadata {
  readonly topics: readonly { readonly partitions: readonly { partition: number; leader: number; isrs: { id: number }[] }[] }[];
}

describe(`three brokers, of which the leader is killed among ${changes} changes`, () => {
  let folder: string;
  let kafka: Kafka;
  let master: KillableMaster;
  let database: Database;
  let load: BusChanges;
  let comparison: Comparison;
  const successions: { readonly killed: number; readonly leader: number; readonly acknowledged: number }[] = [];

  const partitionOf = async (key: string) => {
    const found = (await readTopics(kafka.brokers, [topic])).find((message) => message.key === key);
    if (found === undefined) throw new Error(`nothing of ${key} is on the bus`);
    return found.partition;
  };
  const stateOf = async (wanted: number) => {
    const { stdout } = await execa("kcat", ["-b", kafka.brokers, "-L", "-J", "-t", topic]);
    const { topics } = JSON.parse(stdout) as Metadata;
    return topics[0]?.partitions.find(({ partition }) => partition === wanted);
  };

  /** Kills who leads the partition of a decky that is changed all the time, and starts it again once somebody else does. */
  const killLeader = async (): Promise<void> => {
    const partition = await partitionOf("bus-1");
    const killed = (await eventually(async () => stateOf(partition)))?.leader ?? 0;
    const broker = kafka.nodes.find(({ id }) => id === killed);
    const { acknowledged } = load;
    await broker?.stop("SIGKILL");
    const leader = await eventually(async () => {
      const now = (await stateOf(partition))?.leader ?? -1;
      return now > 0 && now !== killed && now;
    }, patienceMs);
    successions.push({ killed, leader, acknowledged });
    await broker?.start();
    const copies = async () => (await stateOf(partition))?.isrs.length === kafka.nodes.length;
    await eventually(copies, patienceMs);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    kafka = await useKafka({ brokers: 3 });
    master = await startKillableMaster(folder, { DECNET_KAFKA_BROKERS: kafka.brokers, DECNET_DRIFT_INTERVAL_MS: "3600000" });
    database = await openDatabase(await openPrivatePostgres(folder));
    load = createBusChanges(() => master, changes);
    await load.deploy();
    await untilSent(database, patienceMs);
    const accidents = async () => {
      for (let kill = 1; kill <= leaderKills; kill += 1) {
        await load.after(kill / (leaderKills + 1));
        await killLeader();
      }
    };
    await Promise.all([accidents(), load.make()]);
    const upTo = await untilSent(database, patienceMs);
    comparison = compareBus(await readOutbox(database), await readTopics(kafka.brokers, busTopics()), upTo);
  }, 3_600_000);
  afterAll(async () => {
    await database?.close();
    await master?.stop();
    await kafka?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it("have another leader each time, while changes are made, and refuse none", () => {
    expect(successions).toHaveLength(leaderKills);
    expect(successions.filter(({ killed, leader }) => killed === leader)).toEqual([]);
    expect(successions.filter(({ acknowledged }) => acknowledged >= changes)).toEqual([]);
    expect(load.refusals).toEqual([]);
    expect(load.acknowledged).toBe(changes);
  });

  it("show every event to somebody else's program, those of a decky in order", () => {
    expect(comparison.problems).toEqual([]);
  });

  describe("of which some are down", () => {
    const log = createLogger("test", "error");
    /** One partition, with one copy: on one of them. */
    const config = () => {
      const one = { DECNET_KAFKA_PARTITIONS: "1", DECNET_KAFKA_REPLICATION: "1" };
      const env = { DECNET_KAFKA_BROKERS: kafka.brokers, DECNET_KAFKA_TOPIC_PREFIX: "alone", ...one };
      return parseMasterConfig(env, ownCatalog).bus ?? expect.fail("no bus");
    };
    const message = { topic: "alone.decky", key: "web", value: "{}", headers: {} };
    /** What a master would say of an attempt to send. */
    const attempt = async () => {
      try {
        const sender = await openSender(config(), log);
        await sender.send([message]).finally(sender.close);
        return undefined;
      } catch (error) {
        return explain(error);
      }
    };
    const leader = async () => {
      const { stdout } = await execa("kcat", ["-b", kafka.brokers, "-L", "-J", "-t", message.topic]);
      const { topics } = JSON.parse(stdout) as Metadata;
      return kafka.nodes.find(({ id }) => id === topics[0]?.partitions[0]?.leader);
    };

    it("say that there is no leader, and not that nobody answers, as long as most of them are up", async () => {
      expect(await eventually(async () => (await attempt()) === undefined)).toBe(true);
      const killed = (await leader()) ?? expect.fail("no leader");
      await killed.stop("SIGKILL");
      const why = await eventually(async () => {
        const said = await attempt();
        return said?.kind === "election" && said;
      });
      expect(why.cause).toMatch(/^brokers answer, and have no leader yet/);
      await killed.start();
      await eventually(async () => (await attempt()) === undefined);
    });

    it("say that the leader does not answer while there can be no other; only without any, that none answers", async () => {
      const first = (await leader()) ?? expect.fail("no leader");
      const [second, last] = kafka.nodes.filter((node) => node !== first);
      await Promise.all([first.stop("SIGKILL"), second?.stop("SIGKILL")]);
      for (let turn = 0; turn < 3; turn += 1) expect((await attempt())?.kind).toBe("leader");
      await last?.stop("SIGKILL");
      expect(await attempt()).toMatchObject({ kind: "away", cause: expect.stringMatching(/^no broker answers/) });
    });
  });
});
