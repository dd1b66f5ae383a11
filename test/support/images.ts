import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { ownCatalog } from "./catalogs.ts";
import { makeReadyImages } from "./lab/ready-images.ts";
import { removeAbandonedLabs } from "./lab/remove.ts";
import { removeLeftEngines } from "./own-engine.ts";
import { useOwnTables } from "./own-tables.ts";
import { isBuilt } from "./programs.ts";
import { makeReadyDatabase } from "./ready-database.ts";
import { serviceImages } from "./service-images.ts";

const run = randomBytes(2).toString("hex");
const made: (() => Promise<void>)[] = [];
/** What was there before the tests. */
const earlier = new Set<string>();

/** Names this run, and makes images and an empty database once, so that no test pays for another one's. */
export async function setup(): Promise<void> {
  // The docker command that the tests look with talks to the engine that they test.
  const socket = process.env["DECNET_DOCKER_SOCKET"];
  if (socket !== undefined) process.env["DOCKER_HOST"] = `unix://${socket}`;
  process.env["DECNET_TEST_RUN"] = run;
  await removeLeftEngines();
  await removeAbandonedLabs();
  made.push(await useOwnTables());
  for (const name of await strayTables()) earlier.add(name);
  made.push(...(await makeReady()));
}

/** What is made once for a whole run; returns what removes it again. */
export async function makeReady(): Promise<(() => Promise<void>)[]> {
  const images = prepareImages().then(async (tags) => {
    // A lab by itself has its images loaded before these would be ready.
    return isBuilt ? makeReadyImages([debianBase, ...tags]) : undefined;
  });
  const results = await Promise.allSettled([makeReadyDatabase(), images]);
  const removals = results.flatMap((result) => (result.status === "fulfilled" ? [result.value ?? (async () => undefined)] : []));
  for (const result of results)
    if (result.status === "rejected") {
      for (const remove of removals) await remove();
      throw result.reason;
    }
  return removals;
}

/** Builds what is missing of the catalog's images and returns their tags. */
export async function prepareImages(): Promise<string[]> {
  const catalog = await loadCatalog([ownCatalog]);
  const tags: string[] = [];
  for (const image of await serviceImages([...catalog.services.values()].filter((service) => !service.singleton))) {
    const present = await execa("docker", ["image", "inspect", image.tag], { reject: false });
    if (present.exitCode !== 0)
      await execa("docker", ["build", "--build-arg", `BASE_IMAGE=${image.buildBase}`, "-t", image.tag, image.context]);
    tags.push(image.tag);
  }
  return tags;
}

/** Tables of the packet filter for interfaces none of which is there: of installations that are gone. */
async function strayTables(): Promise<string[]> {
  const { stdout } = await execa("nft", ["list", "tables"], { reject: false });
  const names = stdout.split("\n").flatMap((line) => /^table inet (decnet-\S+)$/.exec(line)?.[1] ?? []);
  const strays = await Promise.all(
    names.map(async (name) => {
      const { stdout: text } = await execa("nft", ["list", "table", "inet", name], { reject: false });
      const interfaces = [...text.matchAll(/"([^"\s]+)"/g)].map(([, each = ""]) => each);
      return interfaces.some((each) => existsSync(`/sys/class/net/${each}`)) ? [] : [name];
    }),
  );
  return strays.flat();
}

/** No test may leave a container behind, or rules; these are removed. */
export async function teardown(): Promise<void> {
  for (const remove of made) await remove();
  const { stdout } = await execa("docker", ["ps", "-a", "--filter", `name=^/t${run}`, "--format", "{{.Names}}"]);
  const tables = (await strayTables()).filter((name) => !earlier.has(name));
  for (const name of tables) await execa("nft", ["delete", "table", "inet", name], { reject: false });
  const left = [...stdout.split("\n"), ...tables].filter((name) => name !== "");
  if (left.length > 0) throw new Error(`tests left containers or tables of the packet filter behind: ${left.join(", ")}`);
}
