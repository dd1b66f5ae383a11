import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { settingNames } from "@decnet/engine/settings";
import { execa } from "execa";
import { expect, test } from "vitest";
import { root } from "./cruise.ts";

/** What ties a file to one machine or one mirror. Written so that no pattern matches its own text. */
const foreign: Record<string, RegExp> = {
  "a path of one machine": /(?<![\w.-])\/wor[k]\/|\.librar[y]\b|\.mirro[r]\//,
  "the host of a package registry":
    /\bregistry\.(?!example\b)[a-z\d-]+\.(?:org|com|io|net|dev)\b|\b(?:proxy|sum)\.golang\.|\bcrates\.io\b|\bpythonhosted\.|\brepo\d?\.maven\.|\bdeb\.debian\./,
};

async function listFiles(): Promise<string[]> {
  const { stdout } = await execa("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root });
  return stdout.split("\0").filter((path) => path !== "");
}

/** Undefined for what is no text: binary files, symbolic links to folders, files deleted a moment ago. */
async function readText(path: string): Promise<string | undefined> {
  const bytes = await readFile(join(root, path)).catch(() => undefined);
  return bytes === undefined || bytes.includes(0) ? undefined : bytes.toString("utf8");
}

test("no file names a path of one machine or the host of a package registry", async () => {
  const found: string[] = [];
  for (const path of await listFiles()) {
    const lines = (await readText(path))?.split("\n") ?? [];
    for (const [what, pattern] of Object.entries(foreign)) {
      for (const [index, line] of lines.entries()) if (pattern.test(line)) found.push(`${path}:${index + 1} names ${what}`);
    }
  }
  expect(found).toEqual([]);
});

test("the patterns find what they are for", () => {
  const path = foreign["a path of one machine"]!;
  const folder = "work";
  expect(`/${folder}/main`).toMatch(path);
  expect(`https://example.com/a-${folder}/ ./${folder}/ /var/${folder}/`).not.toMatch(path);
  const host = foreign["the host of a package registry"]!;
  expect(`https://${["registry", "npmjs", "org"].join(".")}/pino`).toMatch(host);
  expect("image: registry.example.com/decoys").not.toMatch(host);
});

test("the lock file pins every package by its hash, and none by an address", async () => {
  const { packages } = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { link?: boolean; integrity?: string; resolved?: string }>;
  };
  const installed = Object.entries(packages).filter(([path, entry]) => path.includes("node_modules/") && entry.link !== true);
  expect(installed.length).toBeGreaterThan(100);
  expect(installed.filter(([, entry]) => entry.integrity === undefined).map(([path]) => path)).toEqual([]);
  expect(installed.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([]);
});

test("what is generated or installed is not in the repository", async () => {
  const files = await listFiles();
  expect(files.filter((path) => /(^|\/)(node_modules|dist|build)\/|\.tsbuildinfo$|\.log$/.test(path))).toEqual([]);
});

test("every variable that a program reads is in the table of settings, so that no daemon calls it unknown", async () => {
  const read = new Set<string>();
  for (const path of await listFiles())
    if (/^(packages|scripts|bench|test\/support)\/|^decnet$/.test(path) && !path.endsWith(".test.ts"))
      for (const [name] of ((await readText(path)) ?? "").matchAll(/\bDECNET_[A-Z_]*[A-Z]\b/g)) read.add(name);
  expect([...settingNames].sort()).toEqual([...read].sort());
});
