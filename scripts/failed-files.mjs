// failed-files.mjs SUITE   Prints the files that failed in vitest's report below build/results, a line each, if they are few
// enough to be run again by themselves; nothing when there are more, or when something failed outside of a test.
import { readFileSync } from "node:fs";
import { relative } from "node:path";

/** A busy machine is late in one place or two; what fails in more is broken. */
const mostFiles = 2;

const { testResults } = JSON.parse(readFileSync(`build/results/${process.argv[2]}.json`, "utf8"));
const failed = testResults.filter(({ status }) => status === "failed");
const isCounted = failed.every(({ assertionResults }) => assertionResults.some(({ status }) => status === "failed"));
if (isCounted && failed.length <= mostFiles) for (const { name } of failed) console.log(relative(process.cwd(), name));
