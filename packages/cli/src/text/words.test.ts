import { expect, it } from "vitest";
import { chooseLook, dress } from "../output.ts";
import { formatTook, parseDuration } from "./duration.ts";
import { formatDocument } from "./forms.ts";
import { nearest } from "./nearest.ts";

it("finds what a mistyped name meant, and nothing for another name", () => {
  const names = ["web-01", "web-11", "db-03", "ssh"];
  expect(nearest("web-1", names)).toBe("web-01");
  expect(nearest("wbe-11", names)).toBe("web-11");
  expect(nearest("shs", names)).toBe("ssh");
  expect(nearest("gateway", names)).toBeUndefined();
  expect(nearest("ab", names)).toBeUndefined();
});

it("reads and writes durations", () => {
  expect(["500ms", "30", "30s", "10m", "1h", "soon"].map(parseDuration)).toEqual([
    500,
    30_000,
    30_000,
    600_000,
    3_600_000,
    undefined,
  ]);
  expect([0, 2_340, 59_949, 64_000].map(formatTook)).toEqual(["0.0s", "2.3s", "59.9s", "1m04s"]);
});

it("makes lines and names of a document", () => {
  const document = { deckies: [{ ref: { name: "web-01" }, state: "X" }], counts: { running: 1 } };
  expect(
    formatDocument("jsonl", document)
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { type: "decky", ref: { name: "web-01" }, state: "X" },
    { type: "result", state: "SUCCEEDED", count: 1 },
  ]);
  expect(formatDocument("name", document)).toBe("web-01");
  expect(formatDocument("name", { revisions: [{ number: 3, actor: "maria" }] })).toBe("r3");
  expect(formatDocument("name", { operation: { id: "op-1" } })).toBe("op-1");
  expect(formatDocument("yaml", { a: [1] })).toBe("a:\n  - 1");
});

it("paints marks, or replaces what a terminal cannot show", () => {
  expect(dress("  + redis", { colour: true, ascii: false })).toBe("  \u001b[32m+\u001b[39m redis");
  expect(dress("web-01 ! degraded", { colour: true, ascii: false })).toContain("\u001b[33m! degraded\u001b[39m");
  expect(dress("✔ r41≠r40 · a → b é", { colour: false, ascii: true })).toBe("ok r41!=r40 - a -> b ?");
});

it("decides from the environment how output looks", () => {
  const look = (env: Record<string, string>, stderrIsTerminal = true) =>
    chooseLook({ env, stderrIsTerminal, noColour: false, quiet: false, verbose: false });
  expect(look({ LANG: "C.UTF-8" })).toMatchObject({ colour: true, live: true, ascii: false });
  expect(look({ LANG: "C.UTF-8", NO_COLOR: "1" })).toMatchObject({ colour: false, live: true });
  expect(look({ LANG: "C.UTF-8", TERM: "dumb" })).toMatchObject({ colour: false, live: false });
  expect(look({ LANG: "C.UTF-8", LC_ALL: "C" })).toMatchObject({ ascii: true });
  expect(look({ LANG: "C.UTF-8" }, false)).toMatchObject({ colour: false, live: false });
});
