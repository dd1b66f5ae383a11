// matrix-table.mjs FOLDER The results of scripts/matrix.sh as markdown: <engine>_<compose>.json and
// suite_<engine>_<compose>.json.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const [folder] = process.argv.slice(2);

const results = readdirSync(folder)
  .filter((file) => file.endsWith(".versions"))
  .map((file) => basename(file, ".versions"))
  .sort((left, right) => left.localeCompare(right, "en", { numeric: true }))
  .map((name) => {
    const [engine, compose] = readFileSync(join(folder, `${name}.versions`), "utf8").split("\n");
    return { suite: name.startsWith("suite_"), engine, compose, report: readReport(name) };
  });

function readReport(name) {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
  } catch {
    return undefined; // It was stopped before it ended.
  }
}

const testsOf = (report) => report.testResults.flatMap((file) => file.assertionResults);
const titles = (tests) => tests.map((test) => test.title).join("; ");

function count(tests) {
  const passed = tests.filter((test) => test.status === "passed").length;
  const failed = tests.filter((test) => test.status === "failed").length;
  return `${passed} of ${passed + failed}`;
}

function pairRow({ engine, compose, report }) {
  if (report === undefined) return [engine, compose, "did not end", "", ""];
  const tests = testsOf(report);
  const mac = tests.find((test) => test.status === "passed" && /\(MAC (not )?pinned\)$/.test(test.title));
  const pinned = mac === undefined ? "?" : mac.title.includes("not pinned") ? "no" : "yes";
  const failed = tests.filter((test) => test.status === "failed");
  if (failed.length === 0 && !report.success) return [engine, compose, count(tests), pinned, "could not begin or clean up"];
  const remarks = failed.length > 0 ? `failed: ${titles(failed)}` : pinned === "no" ? "status says `mac_not_pinned`" : "";
  return [engine, compose, count(tests), pinned, remarks];
}

const suiteRows = ({ engine, compose, report }) =>
  report === undefined
    ? [[engine, compose, "did not end", "", ""]]
    : report.testResults.map((file) => {
        const failed = file.assertionResults.filter((test) => test.status === "failed");
        const setup = file.status === "failed" && failed.length === 0 ? "could not begin or clean up" : "";
        return [engine, compose, basename(file.name, ".test.ts"), count(file.assertionResults), titles(failed) || setup];
      });

function print(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  process.stdout.write(`${[line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n")}\n\n`);
}

const pairs = results.filter((result) => !result.suite);
const suites = results.filter((result) => result.suite);
if (pairs.length > 0) print(["engine", "compose", "passed", "MAC pinned", "remarks"], pairs.map(pairRow));
if (suites.length > 0) print(["engine", "compose", "test file", "passed", "failed"], suites.flatMap(suiteRows));
