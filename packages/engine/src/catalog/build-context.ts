import { createHash } from "node:crypto";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join, relative } from "node:path";

/**
 * sha256 hex over the names, modes and contents of all files of a build context. What goes into the image from elsewhere could
 * change while this hash, and with it the image's tag, stays the same: that is reported as a problem.
 */
export async function hashContext(folder: string, problems: string[]): Promise<string> {
  const hash = createHash("sha256");
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
    const links = new Set(entries.filter((entry) => entry.isSymbolicLink()).map((entry) => join(entry.parentPath, entry.name)));
    for (const path of paths.sort()) {
      const name = relative(folder, path);
      if (links.has(path)) hash.update(`${name}\0link\0${await readlink(path)}\0`);
      else {
        const executable = ((await stat(path)).mode & 0o100) !== 0;
        const content = await readFile(path);
        hash.update(`${name}\0${executable}\0`).update(content).update("\0");
        if (name === "Dockerfile") problems.push(...movingImages(content.toString("utf8")).map((text) => `${path}: ${text}`));
      }
    }
    if (paths.length === 0) problems.push(`${folder}: the build context is empty`);
  } catch (error) {
    problems.push(`${folder}: there is no build context (${error instanceof Error ? error.message : String(error)})`);
  }
  return hash.digest("hex");
}

const fromLine = /^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?/i;
const fromElsewhere = /--(?:from=|mount=\S*\bfrom=)([^\s,]+)/gi;

/** Images that a Dockerfile builds on or copies from, but for its build argument, its own stages and images by digest. Pure. */
export function movingImages(dockerfile: string): string[] {
  const fixed = new Set(["scratch", "$BASE_IMAGE", "${" + "BASE_IMAGE}"]);
  const moving: string[] = [];
  let stages = 0;
  for (const line of dockerfile.split("\n")) {
    const [, image, stage] = fromLine.exec(line) ?? [];
    const sources = [...line.matchAll(fromElsewhere)].map((match) => match[1] ?? "");
    for (const source of image === undefined ? sources : [image])
      if (!fixed.has(source) && !source.includes("@sha256:")) moving.push(source);
    if (image === undefined) continue;
    fixed.add(String(stages));
    if (stage !== undefined) fixed.add(stage);
    stages += 1;
  }
  return moving.map((source) => `${source} may change while the image's tag stays: name it by its digest (@sha256:…)`);
}
