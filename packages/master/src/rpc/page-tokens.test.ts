import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createPageTokens, type PageTokens, pageOf } from "./page-tokens.ts";

const keyed = (key: string) => (text: string) => createHash("sha256").update(`${key} ${text}`).digest("hex").slice(0, 32);
const tokens = (list = "deckies", filter: unknown = [], key = "k") => createPageTokens(keyed(key), list, filter);
const parse = (pages: PageTokens, pageToken: string) => pages.parse({ pageSize: 0, pageToken }, 50);
const refused = expect.objectContaining({
  reason: "REQUEST_INVALID",
  violations: [expect.objectContaining({ field: "page_token" })],
});

describe("a page token", () => {
  const token = tokens().make(["fleet", "wéb-01"]);

  it("names the last row that was shown, and none the first page", () => {
    expect(parse(tokens(), token)).toEqual({ size: 50, after: ["fleet", "wéb-01"] });
    expect(parse(tokens(), "")).toEqual({ size: 50, after: undefined });
    expect(tokens().make(undefined)).toBe("");
  });

  it("counts for its list, its filter and its master alone", () => {
    expect(() => parse(tokens("operations"), token)).toThrow(refused);
    expect(() => parse(tokens("deckies", [{ key: "state" }]), token)).toThrow(refused);
    expect(() => parse(tokens("deckies", [], "another"), token)).toThrow(refused);
  });

  it.each(["0", "50", "-1", "1e3", "x".repeat(5_000), `${token}0`, `A${token}`, token.toUpperCase(), ".", "\u0000"])(
    "%j was never given",
    (bad) => expect(() => parse(tokens(), bad)).toThrow(refused),
  );
});

describe("pages of rows in order", () => {
  const page = (rows: readonly string[], after?: string) =>
    pageOf(rows, { size: 2, after: after === undefined ? undefined : [after] }, (row) => [row]);

  it("go on after the last row, whoever comes and goes meanwhile", () => {
    expect(page(["b", "d", "f"])).toEqual({ rows: ["b", "d"], next: ["d"] });
    expect(page(["a", "c", "e", "f"], "d")).toEqual({ rows: ["e", "f"], next: undefined });
    expect(page([], "d")).toEqual({ rows: [], next: undefined });
  });
});
