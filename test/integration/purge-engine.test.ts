import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkout } from "../support/checkout.ts";
import { drawSubnets } from "../support/own-subnets.ts";

const mine = randomUUID();
const another = randomUUID();
const repository = `decnet-purge-${mine.slice(0, 8)}`;
const subnetOf = drawSubnets();

const docker = async (...args: string[]) => (await execa("docker", args)).stdout;
const run = (script: string, ...args: string[]) => execa(join(checkout, "scripts", script), args, { reject: false });
/** Names of what an installation has: containers, networks and volumes. */
async function has(installation: string): Promise<string[]> {
  const filter = ["--filter", `label=decnet.instance=${installation}`];
  const lists = await Promise.all([
    docker("ps", "-a", ...filter, "--format", "{{.Names}}"),
    docker("network", "ls", ...filter, "--format", "{{.Name}}"),
    docker("volume", "ls", ...filter, "--format", "{{.Name}}"),
  ]);
  return lists.flatMap((list) => list.split("\n")).filter((name) => name !== "");
}

/** A network, a volume, and a container that is on both and runs an image of its own name. */
async function make(installation: string, subnet: string): Promise<void> {
  const [name, label] = [`purge-${installation.slice(0, 8)}`, `decnet.instance=${installation}`];
  await docker("network", "create", "--label", label, "--subnet", subnet, name);
  await docker("volume", "create", "--label", label, name);
  const text = `FROM ${debianBase}\nLABEL purge=${installation}\n`;
  await execa("docker", ["build", "-q", "-t", `${repository}/${name}:1`, "-"], { input: text });
  await docker("tag", `${repository}/${name}:1`, `${repository}/${name}:again`);
  const on = ["--network", name, "-v", `${name}:/data`, "--name", name, "--label", label];
  await docker("run", "-d", "--init", ...on, `${repository}/${name}:1`, "sleep", "300");
}

beforeAll(async () => {
  await make(mine, subnetOf(0));
  await make(another, subnetOf(1));
});
afterAll(async () => {
  for (const installation of [mine, another]) await run("purge-installation.sh", installation);
  await run("purge-images.sh", `${repository}/*`);
});

it("a purge removes what its own installation has on the engine, and names the others", async () => {
  const before = await has(another);
  expect(before).toHaveLength(3);
  const { exitCode, stdout } = await run("purge-installation.sh", mine);
  expect(exitCode).toBe(0);
  expect(stdout.split("\n")).toContain(another);
  expect(stdout).not.toContain(mine);
  expect([await has(mine), await has(another)]).toEqual([[], before]);
  expect((await run("purge-installation.sh", mine)).exitCode).toBe(0);
});

it("images that a container uses stay", async () => {
  const { exitCode, stderr } = await run("purge-images.sh", `${repository}/*`);
  const used = ["1", "again"].map((tag) => `${repository}/purge-${another.slice(0, 8)}:${tag}`);
  expect(exitCode).toBe(0);
  expect(stderr.split("\n").sort()).toEqual(used.map((image) => `decnet: the image ${image} stays: a container uses it`));
  const left = await docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", `reference=${repository}/*`);
  expect(left.split("\n").sort()).toEqual(used);
});

it("what is no id of an installation removes nothing", async () => {
  const before = await has(another);
  for (const word of [[], [""], ["*"], ["decnet.instance"]])
    expect((await run("purge-installation.sh", ...word)).exitCode).toBe(1);
  expect(await has(another)).toEqual(before);
});
