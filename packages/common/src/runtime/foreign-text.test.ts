import { expect, test } from "vitest";
import { cleanLine, cleanText, escapeLine } from "./foreign-text.ts";

test("control characters and halves of characters go, line breaks, tabs and other scripts stay", () => {
  expect(cleanText("a\u0000\u001b[2J\u009b1mb\rc\r\nd\te")).toBe("a??[2J?1mb?c\nd\te");
  expect(cleanText("\ud800x")).toBe("\ufffdx");
  expect(cleanText("Grüße 例 🍯")).toBe("Grüße 例 🍯");
  expect(cleanText("abcdef", 3)).toBe("abc");
  expect(cleanText("ab🍯", 3)).toBe("ab\ufffd");
});

test("what turns text round, hides in it or begins a line elsewhere goes too", () => {
  expect(cleanText("a\u202eb\u2066c\u061cd\u200fe\u2028f\ufeffg\ufffeh")).toBe("a?b?c?d?e?f?g?h");
});

test("a text of one line stays on it", () => {
  expect(cleanLine("ssh\n2026-01-01 root logged in\tagain")).toBe("ssh 2026-01-01 root logged in again");
});

test("evidence loses nothing", () => {
  expect(escapeLine("a\u001b[2J\u009bb\nc\u202ed\te\r")).toBe("a\\x1b[2J\\x9bb\\x0ac\\u202ed\te");
});
