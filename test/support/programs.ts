import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkout } from "./checkout.ts";

/** Set by scripts/test.sh, which has just built what the sources say. By hand tests run the sources, whatever was built when. */
export const isBuilt = process.env["TEST_BUILT"] === "1";

/**
 * Set by scripts/test.sh, whose suites start hundreds of programs: of what was just built it made bundles, which start in
 * less than half of the processor time (scripts/bundle-programs.mjs).
 */
const isBundled = process.env["TEST_BUNDLED"] === "1";
const bundles = join(checkout, "build/programs");

const node = isBuilt ? [] : ["--import", "tsx", "--conditions=source"];

/** The `decnet` command: that of the bundles, or the one of the checkout, which does more than to start the command line. */
export function decnetCommand(isShipped: boolean): string {
  return isBundled && !isShipped ? join(bundles, "decnet") : join(checkout, "decnet");
}

/** What Node.js is given to run a program of ours, of this checkout or of a copy. */
export function ownProgram(name: "master" | "agent" | "cli", of = checkout): string[] {
  if (isBundled && of === checkout && name !== "cli") return [join(bundles, name, "main.js")];
  const folder = join(of, "packages", name);
  return [...node, join(folder, isBuilt ? "dist/main.js" : "src/main.ts")];
}

/** What Node.js is given to run a program of test/support, `memory-agent.ts` for example. */
export function testProgram(file: string): string[] {
  const built = file.replace(/\.ts$/, ".js");
  const bundle = join(bundles, "test", built);
  // Those that few tests start have none.
  if (isBundled && existsSync(bundle)) return [bundle];
  return [...node, isBuilt ? join(checkout, "build/test/support", built) : join(checkout, "test/support", file)];
}
