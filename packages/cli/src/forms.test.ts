import { expect, it } from "vitest";
import { formatDocument } from "./forms.ts";

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
