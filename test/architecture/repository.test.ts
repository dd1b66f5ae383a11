import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { settingNames } from "@decnet/engine/settings";
import { expect, test } from "vitest";
import { root } from "./cruise.ts";
import { listFiles, readManifest } from "./imports.ts";

/** What ties a file to one machine or one mirror. Written so that no pattern matches its own text. */
const foreign: Record<string, RegExp> = {
  "a path of one machine": /(?<![\w.-])\/wor[k]\/|\.librar[y]\b|\.mirro[r]\//,
  "the host of a package registry": new RegExp(
    [
      /\bregistry\.(?!example\b)[a-z\d-]+\.(?:org|com|io|net|dev)\b/,
      /\b(?:proxy|sum)\.golang\.|\bcrates\.io\b|\bpythonhosted\.|\brepo\d?\.maven\.|\bdeb\.debian\./,
    ]
      .map(({ source }) => source)
      .join("|"),
  ),
};

/** Undefined for binary files, symbolic links to folders and files deleted a moment ago. */
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

test("one version stands in every package.json, and in what packages want of each other", async () => {
  const { version, workspaces = [] } = await readManifest(".");
  for (const folder of workspaces) {
    const manifest = await readManifest(folder);
    const own = Object.entries(manifest.dependencies ?? {}).filter(([name]) => name.startsWith("@decnet/"));
    const versions = [manifest.version, ...own.map(([, wanted]) => wanted)];
    expect([folder, ...new Set(versions)]).toEqual([folder, version]);
  }
});

test("no source repeats the version", async () => {
  const { version } = await readManifest(".");
  const sources = (await listFiles("packages", "scripts", "deploy")).filter((path) => !/package\.json$|\.test\.ts$/.test(path));
  const texts = await Promise.all(sources.map(async (path) => ({ path, text: await readText(path) })));
  const repeats = new RegExp(`["'\`]${version.replaceAll(".", "\\.")}["'\`]`);
  expect(texts.filter(({ text }) => repeats.test(text ?? "")).map(({ path }) => path)).toEqual([]);
});

test("texts of the command line know no process, no terminal and no clock", async () => {
  const found: string[] = [];
  for (const path of await listFiles("packages/cli/src/text")) {
    const text = (await readText(path)) ?? "";
    if (!path.endsWith(".test.ts") && /\b(process|console|performance|globalThis)\.|Date\.now|new Date\(\)/.test(text))
      found.push(path);
  }
  expect(found).toEqual([]);
});

const longestLine = 130;

const generated = /^packages\/(contract|cli)\/src\/gen\//;

/** Numbers of the lines that are too long. In Markdown, tables and blocks of code may be longer. */
function findLongLines(path: string, text: string): number[] {
  let isCode = false;
  return text.split("\n").flatMap((line, index) => {
    if (path.endsWith(".md") && line.trimStart().startsWith("```")) isCode = !isCode;
    if (line.length <= longestLine || isCode || (path.endsWith(".md") && line.startsWith("|"))) return [];
    return [index + 1];
  });
}

test(`no line of prose or code is longer than ${longestLine} characters`, async () => {
  const found: string[] = [];
  for (const path of await listFiles()) {
    if (!/\.(md|ts|mjs|cjs|proto)$/.test(path) || generated.test(path)) continue;
    const text = (await readText(path)) ?? "";
    found.push(...findLongLines(path, text).map((number) => `${path}:${number}`));
  }
  expect(found).toEqual([]);
});

test("tables and blocks of code may be longer in Markdown, and nothing else", () => {
  const long = "x".repeat(longestLine + 1);
  expect(findLongLines("a.md", [long, `| ${long} |`, "```", long, "```", long].join("\n"))).toEqual([1, 6]);
  expect(findLongLines("a.ts", [long, `| ${long} |`].join("\n"))).toEqual([1, 2]);
});

test("every variable that a program reads is in the table of settings, so that no daemon calls it unknown", async () => {
  const read = new Set<string>();
  for (const path of await listFiles())
    if (/^(packages|scripts|bench|test\/support)\/|^decnet$/.test(path) && !path.endsWith(".test.ts"))
      for (const [name] of ((await readText(path)) ?? "").matchAll(/\bDECNET_[A-Z_]*[A-Z]\b/g)) read.add(name);
  expect([...settingNames].sort()).toEqual([...read].sort());
});
