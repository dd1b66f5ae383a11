// sum-results.mjs SUITE... Adds up vitest's reports below build/results and prints "N passed, N failed" on a line of its
// own. Files that were run again by themselves count as they did then, and what passed only then is named. Exit code 1 when
// something failed, a report is missing, or no test ran.
import { existsSync, readFileSync } from "node:fs";

const read = (name) => JSON.parse(readFileSync(`build/results/${name}.json`, "utf8"));
const failuresOf = ({ testResults }) =>
  testResults.flatMap((file) => file.assertionResults.filter(({ status }) => status === "failed"));

const sum = { passed: 0, failed: 0, skipped: 0 };

for (const name of process.argv.slice(2)) {
  try {
    const report = read(name);
    if (!report.success && existsSync(`build/results/${name}-again.json`) && read(`${name}-again`).success) {
      for (const { fullName } of failuresOf(report)) console.log(`${name}: failed beside others, passed by itself: ${fullName}`);
      sum.passed += report.numPassedTests + report.numFailedTests;
      sum.skipped += report.numPendingTests + report.numTodoTests;
      continue;
    }
    // A file that could not be loaded failed without a test of its own.
    const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
    sum.passed += report.numPassedTests;
    sum.failed += report.numFailedTests + broken;
    sum.skipped += report.numPendingTests + report.numTodoTests;
    if (!report.success && report.numFailedTests + broken === 0) {
      console.log(`${name}: failed outside of a test, see its output`);
      sum.failed += 1;
    }
  } catch (error) {
    console.log(`${name}: no report (${error.code ?? error.message}); its run did not end`);
    sum.failed += 1;
  }
}

if (sum.passed + sum.failed === 0) console.log("no test ran");
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ""}`);
process.exit(sum.failed > 0 || sum.passed === 0 ? 1 : 0);
