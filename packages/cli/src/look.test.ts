import { expect, it } from "vitest";
import { chooseLook, dress } from "./look.ts";

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
