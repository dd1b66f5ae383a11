import { join } from "node:path";
import { checkout } from "./checkout.ts";

/** Set by scripts/test.sh, which has just built what the sources say. By hand tests run the sources, whatever was built when. */
export const isBuilt = process.env["TEST_BUILT"] === "1";

const node = isBuilt ? [] : ["--import", "tsx", "--conditions=source"];

/** What Node.js is given to run a program of ours, of this checkout or of a copy. */
export function ownProgram(name: "master" | "agent" | "cli", of = checkout): string[] {
  const folder = join(of, "packages", name);
  return [...node, join(folder, isBuilt ? "dist/main.js" : "src/main.ts")];
}

/** What Node.js is given to run a program of test/support, `memory-agent.ts` for example. */
export function testProgram(file: string): string[] {
  return [
    ...node,
    isBuilt ? join(checkout, "build/test/support", file.replace(/\.ts$/, ".js")) : join(checkout, "test/support", file),
  ];
}
