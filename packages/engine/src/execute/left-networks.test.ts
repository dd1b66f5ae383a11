import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLeftNetworks } from "./left-networks.ts";

const one = { scope: "t1", name: "web" } as const;
const other = { scope: "t1", name: "db" } as const;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

it("what a decky leaves is known after a start, once, until it was released", async () => {
  const left = await openLeftNetworks(folder);
  await left.note(one, ["far", "near"]);
  await left.note(one, ["far"]);
  expect((await openLeftNetworks(folder)).of(one)).toEqual(["far", "near"]);
  await left.forget("far", one);
  expect((await openLeftNetworks(folder)).of(one)).toEqual(["near"]);
});

it("a network that was removed was left by nobody any more, and a decky that is gone left none", async () => {
  const left = await openLeftNetworks(folder);
  await Promise.all([left.note(one, ["far", "near"]), left.note(other, ["far"])]);
  await left.forget("far", undefined);
  expect([left.of(one), left.of(other)]).toEqual([["near"], []]);
  await left.forgetDecky(one);
  expect((await openLeftNetworks(folder)).of(one)).toEqual([]);
});

it("half a file says that nothing was left", async () => {
  await writeFile(join(folder, "left-networks.json"), '{"file":"decnet left');
  expect((await openLeftNetworks(folder)).of(one)).toEqual([]);
});
