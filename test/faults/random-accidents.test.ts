import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Decky, DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { debianBase } from "@decnet/engine/tables/distros";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AccidentWorld, accidents, acts, clearTheWay, drawActs, namedCommand } from "../support/accidents.ts";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { elsewhereEnv, useOwnEngine } from "../support/own-engine.ts";
import { serviceImages } from "../support/service-images.ts";
import { eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** How many sequences are drawn, and from which seed; `npm run soak` draws more. The first ones try each entry alone. */
const wanted = process.env["DECNET_ACCIDENT_SEQUENCES"];
const sequences = Number(wanted ?? "3");
const seed = Number(process.env["DECNET_ACCIDENT_SEED"] ?? "1001");
/** What is drawn from, by names of the tables, separated by semicolons. */
const chosen = process.env["DECNET_ACCIDENTS"]?.split(";");
const all = { ...accidents, ...acts };
const names = Object.keys(all).filter((name) => chosen?.includes(name) ?? true);
const calmMs = 60_000;

/** Repeatable numbers in [0, 1). */
function seeded(start: number): () => number {
  let state = start * 2_654_435_761 + 12_345;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

interface Inspected {
  readonly State?: { readonly Status?: string };
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, { readonly IPAddress?: string }>> };
}

describe("acts of operators and accidents, in any order", () => {
  let engine: Awaited<ReturnType<typeof useOwnEngine>>;
  let master: TestMaster;
  let deckies: string[];
  /** A sequence failed: the next one begins with new deckies. */
  let isSpoilt = false;

  beforeAll(async () => {
    engine = await useOwnEngine();
    const { services } = await loadCatalog([ownCatalog, testCatalog]);
    const entries = ["ssh", "redis", "http", "quits"].map((slug) => services.get(slug) ?? expect.fail(`no service ${slug}`));
    await engine.load([debianBase, ...(await serviceImages(entries)).map((image) => image.tag)]);
    master = await useMaster({
      env: { ...elsewhereEnv, DECNET_DOCKER_SOCKET: engine.socketPath, DECNET_DRIFT_INTERVAL_MS: "500" },
    });
    deckies = ["a", "b"].map((name) => `${master.prefix}-${name}`);
  });
  afterAll(async () => {
    await master.dispose();
    await engine.dispose();
  });

  const applyAll = () =>
    master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: deckies.map((name) => ({ name, services: [{ slug: "redis" }, { slug: "ssh" }] })),
      },
    });
  const listed = async () => (await master.fleet.listDeckies({})).deckies;
  const openOperations = async () =>
    (await master.operations.listOperations({ filter: "state=pending" })).operations.length +
    (await master.operations.listOperations({ filter: "state=running" })).operations.length;
  const isWell = ({ state, message }: { state: DeckyState; message: string }) => state === DeckyState.RUNNING && message === "";
  const tell = async () =>
    (await listed()).map(({ ref, state, message }) => `${ref?.name}: ${DeckyState[state]} ${message}`).join("\n");

  /** Every decky runs, or says why not and which command ends that. */
  const explains = async () => {
    if ((await openOperations()) > 0) return false;
    return (await listed()).every((decky) => isWell(decky) || namedCommand(decky.message) !== undefined);
  };
  /** The host was looked at twice since: the first look may have begun before. */
  const looked = async () => {
    for (let look = 0; look < 2; look += 1) {
      const from = Date.now();
      const isLater = (at: Timestamp | undefined) => at !== undefined && timestampMs(at) > from;
      await eventually(async () => (await listed()).every(({ observedAt }) => isLater(observedAt)), calmMs);
    }
    return true;
  };
  /** What the engine itself says of a decky that is said to run: a line for each thing that is not so. */
  const liesAbout = async ({ ref, addresses, services }: Decky): Promise<string[]> => {
    const name = ref?.name ?? "";
    const inspect = async (container: string) => {
      const { stdout } = await engine.docker(["inspect", container]).catch(() => ({ stdout: "[{}]" }));
      return (JSON.parse(stdout) as Inspected[])[0] ?? {};
    };
    const containers = [name, ...services.map(({ slug }) => `${name}-${slug}`)];
    const states = await Promise.all(containers.map(async (each) => ({ each, status: (await inspect(each)).State?.Status })));
    const { NetworkSettings: settings } = await inspect(name);
    const address = settings?.Networks?.[master.lan.name]?.IPAddress;
    const wanted = addresses[0]?.ip;
    return [
      ...states.flatMap(({ each, status }) => (status === "running" ? [] : [`${each} is ${status ?? "not there"}`])),
      ...(address === wanted ? [] : [`${name} has the address ${address ?? "of nobody"} instead of ${wanted}`]),
    ];
  };
  const isAllWell = async () => (await openOperations()) === 0 && (await listed()).every(isWell);

  it.each(Array.from({ length: sequences }, (_, index) => seed + index))(
    "sequence %i ends with every decky running, or saying why not and which command helps",
    { timeout: 300_000 },
    async (number) => {
      const world: AccidentWorld = { master, engine, random: seeded(number) };
      await clearTheWay(world);
      if (isSpoilt) await master.fleet.teardownFleet({});
      isSpoilt = true;
      await applyAll();
      const single = names[number - 1];
      const drawn = drawActs(
        world,
        single === undefined ? names : [single],
        deckies,
        single === undefined ? 2 + Math.floor(world.random() * 3) : 1,
      );
      const story = drawn.map(({ act, decky }) => `${decky}: ${act}`).join("\n");
      const within = async (what: string, holds: () => Promise<boolean>) => {
        const isSo = await eventually(holds, calmMs).catch(() => false);
        if (!isSo) expect.fail(`${what}, after\n${story}\nas it is:\n${await tell()}`);
      };
      for (const { act, decky } of drawn) await all[act]?.(world, decky);
      await within("nobody looks", looked);
      await within("a decky is not well and says no command", explains);
      await clearTheWay(world);
      for (const { message } of await listed()) await namedCommand(message)?.(master).catch(() => undefined);
      await within("a decky is not well after its command", isAllWell);
      const lies = (await Promise.all((await listed()).map(liesAbout))).flat();
      expect(lies, `what is said to run, after\n${story}`).toEqual([]);
      isSpoilt = false;
    },
  );
});
