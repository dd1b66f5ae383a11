import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createMadeStore } from "./made-containers.ts";

const decky = { scope: "fleet", name: "web" } as const;
const traits = { image: "i1" };
let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
  file = join(folder, "web.json");
});
afterEach(() => rm(folder, { recursive: true }));

it("what was noted is known after a start", async () => {
  await createMadeStore(folder).note(decky, { web: traits });
  expect(await createMadeStore(folder).of(decky)).toEqual({ web: traits });
});

it.each([
  ["nothing", undefined],
  ["half a file", '{"file":"decnet made'],
])("%s says that nothing was noted", async (_, text) => {
  if (text !== undefined) await writeFile(file, text);
  expect(await createMadeStore(folder).of(decky)).toEqual({});
});

it("what cannot be read is not nothing: it is not known, and nothing is noted over it, until it can be read", async () => {
  const store = createMadeStore(folder);
  await mkdir(file);
  await expect(store.of(decky)).rejects.toThrow("not observed: EISDIR");
  await expect(store.adopt(decky, { web: { image: "i2" } })).rejects.toThrow("not observed: EISDIR");
  await rm(file, { recursive: true });
  await createMadeStore(folder).note(decky, { web: traits });
  expect(await store.of(decky)).toEqual({ web: traits });
});

it("what could not be written is not taken for noted", async () => {
  const store = createMadeStore(folder);
  expect(await store.of(decky)).toEqual({});
  await mkdir(file);
  await expect(store.note(decky, { web: traits })).rejects.toThrow("EISDIR");
  expect(await store.of(decky)).toEqual({});
  await rm(file, { recursive: true });
  await store.note(decky, { web: traits });
  expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ made: { web: traits } });
});

it("changes at the same moment are made one after the other", async () => {
  const store = createMadeStore(folder);
  await Promise.all([
    store.note(decky, { web: traits }),
    store.note(decky, { "web-ssh": traits }),
    store.adopt(decky, { web: { image: "i2" } }),
  ]);
  expect(await store.of(decky)).toEqual({ web: traits, "web-ssh": traits });
});
