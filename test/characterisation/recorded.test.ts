import { readdir, readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { fileOf } from "./support/record.ts";

const folder = new URL(".", import.meta.url);

it("every record belongs to one situation", async () => {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".test.ts"));
  const texts = await Promise.all(files.map((name) => readFile(new URL(name, folder), "utf8")));
  const titles = texts.flatMap((text) => [...text.matchAll(/^record\(\s*"([^"]+)"/gm)].map(([, title = ""]) => title));
  const recorded = (await readdir(new URL("recorded", folder))).map((name) => `./recorded/${name}`);
  expect(recorded.sort()).toEqual(titles.map(fileOf).sort());
});
