import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** Set by scripts/test.sh, which has just built what the sources say. By hand tests run the sources, whatever was built when. */
const isBuilt = process.env["TEST_BUILT"] === "1";

const node = ["--import", "tsx", ...(isBuilt ? [] : ["--conditions=source"])];

/** What Node.js is given to run a program of ours, of this checkout or of a copy. */
export function ownProgram(name: "master" | "agent" | "cli", checkout = root): string[] {
  const folder = join(checkout, "packages", name);
  return isBuilt ? [join(folder, "dist/main.js")] : [...node, join(folder, "src/main.ts")];
}

/** What Node.js is given to run a program of test/support, `memory-agent.ts` for example. */
export function testProgram(file: string): string[] {
  return [...node, join(root, "test/support", file)];
}
