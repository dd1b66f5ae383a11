import { create } from "@bufbuild/protobuf";
import { DeckyOutcomeSchema } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { expect, test } from "vitest";
import { cleanText, cleanTexts } from "./foreign-text.ts";

test("control characters and halves of characters go, line breaks, tabs and other scripts stay", () => {
  expect(cleanText("a\u0000\u001b[2J\u009b1mb\rc\r\nd\te")).toBe("a??[2J?1mb?c\nd\te");
  expect(cleanText("\ud800x")).toBe("\ufffdx");
  expect(cleanText("Grüße 例 🍯")).toBe("Grüße 例 🍯");
  expect(cleanText("abcdef", 3)).toBe("abc");
  expect(cleanText("ab🍯", 3)).toBe("ab\ufffd");
});

test("every text of a message is cleaned, also in lists and in the chosen field of a oneof", () => {
  const outcome = create(DeckyOutcomeSchema, {
    decky: { name: "a\u0000" },
    plan: { steps: [{ cause: "\u001b[31m" }], untouched: ["b\u0007"] },
    failure: { outputTail: ["fine", "\u0000"] },
  });
  cleanTexts(outcome);
  expect(outcome.decky?.name).toBe("a?");
  expect(outcome.plan?.steps[0]?.cause).toBe("?[31m");
  expect(outcome.plan?.untouched).toEqual(["b?"]);
  expect(outcome.failure?.outputTail).toEqual(["fine", "?"]);
});
